import { rename } from 'node:fs/promises';
import { posix } from 'node:path';
import { syncFolder } from '../system/durable.ts';
import type { Found } from '../../model/ledger.ts';
import { refuse } from '../ledger/refusals.ts';
import { inodeOf, lookAt } from './files.ts';
import type { RestorePlace } from './place.ts';
import { readVerified, unpackedRoot, type Verified } from './staging.ts';

type DataFound = Extract<Found, { kind: 'data' }>;
type Root = RestorePlace['roots'][number];

export async function observeData(roots: readonly string[]): Promise<DataFound> {
  const inodes = await Promise.all(roots.map(async (path) => [path, await inodeOf(path)] as const));
  return { kind: 'data', inodes: Object.fromEntries(inodes) };
}

/**
 * Moves each root aside and puts what was unpacked and verified in its place: two renames a root. Done again after a
 * crash it goes on where it was. Gives where the old data lies now.
 */
export async function moveAside(
  place: RestorePlace,
  found: DataFound,
  wanted: Omit<Verified, 'roots'>,
): Promise<readonly string[]> {
  const verified = await readVerified(place, wanted);
  for (const [index, root] of place.roots.entries()) {
    const unpacked = unpackedRoot(place, verified.roots[index] ?? '');
    if ((await lookAt(unpacked)) === null) continue; // It was moved before.
    await moveOld(root, found.inodes[root.path] ?? null);
    await rename(unpacked, root.path);
    syncFolder(posix.dirname(root.path));
  }
  return existing(place);
}

/** What was there before is there again; what was put in its place is left to whoever removes the staging folder. */
export async function moveBack(place: RestorePlace, found: DataFound): Promise<string> {
  for (const [index, root] of place.roots.entries()) {
    const before = found.inodes[root.path] ?? null;
    if ((await inodeOf(root.path)) !== before) await giveUp(place, root, index, before);
    if (before === null || (await inodeOf(root.aside)) !== before) continue;
    await rename(root.aside, root.path);
    syncFolder(posix.dirname(root.path));
  }
  return 'the data is as it was found';
}

/** Where data from before lies. */
export async function existing(place: RestorePlace): Promise<readonly string[]> {
  const there = await Promise.all(place.roots.map(({ aside }) => lookAt(aside)));
  return place.roots.flatMap(({ aside }, index) => (there[index] == null ? [] : [aside]));
}

async function wasPut(place: RestorePlace, index: number): Promise<boolean> {
  const verified = await readVerified(place).catch(() => null);
  return verified !== null && (await lookAt(unpackedRoot(place, verified.roots[index] ?? ''))) === null;
}

async function moveOld({ path, aside }: Root, before: string | null): Promise<void> {
  const now = await inodeOf(path);
  if (now === null) return;
  if (now !== before)
    throw refuse('NotAtRest', `${path} is not what it was when the restore began: somebody else replaced it`);
  if ((await lookAt(aside)) !== null) throw refuse('NotAtRest', `${aside} is there already`);
  await rename(path, aside);
  syncFolder(posix.dirname(path));
}

/** Only what this restore has put there: what was there before lies aside, or nothing was. */
async function giveUp(
  place: RestorePlace,
  { path, aside }: Root,
  index: number,
  before: string | null,
): Promise<void> {
  if ((await lookAt(path)) === null) return;
  const isOurs = before === null ? await wasPut(place, index) : (await inodeOf(aside)) === before;
  if (!isOurs && before === null) return;
  if (!isOurs)
    throw refuse(
      'NotUnderstood',
      `${path} is not what it was when the restore began, and that is not in ${aside} either: nothing is moved`,
    );
  await rename(path, posix.join(place.staging, `given-up-${index}`));
}
