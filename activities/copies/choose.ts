import { mkdir, readdir } from 'node:fs/promises';
import { posix } from 'node:path';
import type { Check } from '../../model/progress.ts';
import { copyKey } from '../../model/resource.ts';
import type { CopyWay, HostName, Site } from '../../model/site.ts';
import { takenText } from '../stores/room.ts';
import { sizeText } from '../stores/size-text.ts';
import { runCommand } from '../system/command.ts';
import { freeBytesIn, type Rooms } from '../system/rooms.ts';
import { copyArgv } from './make.ts';
import {
  besides,
  copiedData,
  isLeftTry,
  isOurs,
  isTry,
  rootIn,
  tryPlace,
  type Copied,
  type CopiedData,
  type CopyPlace,
} from './place.ts';
import { isSubvolume, removeCopy } from './remove.ts';

export interface Choice {
  readonly way: CopyWay | 'stream';
  readonly checks: readonly Check[];
}

export interface ChoiceOptions {
  readonly signal?: AbortSignal | undefined;
  /** Of the data; null: not known. */
  readonly dataBytes: number | null;
  /** Copies that the journal of this host knows: they are not left over. */
  readonly known: readonly string[];
  /** A plain copy that is chosen takes its room there. */
  readonly rooms: Rooms;
  /** Of these one alone is copied in the night, see Writing. */
  readonly oneOf?: string;
}

/** The best first: a snapshot is one call whatever the size, a clone one call a file, a plain copy reads and writes all. */
const ways = ['btrfs', 'reflink', 'copy'] as const;
/** Room that a plain copy needs, over the size of the data. */
const growth = 1.1;
const tryWithinMs = 30_000;

/**
 * How data can be taken on this host: tried with a small file, or a snapshot, which are gone again at
 * the end. What the site file asks for and is not possible is a no-go; `auto` says why it is not something better.
 */
export async function chooseCopy(
  site: Site,
  host: HostName,
  { asked, ...copied }: Copied & { readonly asked: CopyWay | 'auto' },
  options: ChoiceOptions,
): Promise<Choice> {
  const row = { host, subject: `${copyKey(copied).replace('/', ' ')} copy-by` };
  const data = copiedData(site, copied);
  const left = await leftovers(data, options.known);
  const checks = left.map((path): Check => ({
    ...{ ...row, verdict: 'warning', detail: `${path} was left by an earlier run: no journal knows it` },
    hint: `look at it, and remove it: ${path}`,
  }));
  const refused: string[] = [];
  for (const way of asked === 'auto' ? ways : [asked]) {
    const why = await whyNot(data, way, options);
    if (why === null) {
      const because = refused.length === 0 ? '' : `; not ${refused.join('; not ')}`;
      const chosen = asked === 'auto' ? `auto: ${way}` : way;
      const detail = `${chosen}, ${words[way]}${because}`;
      if (way === 'copy' && data.copies !== undefined) await promiseRoom(data.copies, copied, options);
      return { way, checks: [{ ...row, verdict: 'go', detail }, ...checks] };
    }
    refused.push(`${way}: ${why}`);
  }
  const detail = refused.join('; not ');
  if (asked === 'auto')
    return {
      way: 'stream',
      checks: [
        { ...row, verdict: 'go', detail: `auto: stream, archived while it is stopped; not ${detail}` },
        ...checks,
      ],
    };
  const hint = 'see docs/copies.md; copy-by: auto takes what is possible';
  return {
    way: asked,
    checks: [{ ...row, verdict: 'no-go', detail: `not possible: ${detail}`, hint }, ...checks],
  };
}

const words: Readonly<Record<CopyWay, string>> = {
  btrfs: 'a read-only snapshot of its subvolume, tried',
  reflink: 'clones of its files, tried',
  copy: 'a plain copy on this host',
};

async function whyNot(data: CopiedData, by: CopyWay, options: ChoiceOptions): Promise<string | null> {
  const { roots, copies } = data;
  const trial = () => tryCopy(tryPlace(data, by), options.signal);
  if (by === 'copy') {
    if (copies === undefined) return 'no folder is named for it (copies)';
    return (await lacksRoom(copies, options)) ?? (await failureOf(trial));
  }
  for (const root of by === 'btrfs' ? roots : [])
    if (!(await isSubvolume(root))) return `${root} is no subvolume of btrfs`;
  return failureOf(trial);
}

/** Of the whole subvolume, as the copy itself will be; of files, one that has content: empty ones can be cloned anywhere. */
async function tryCopy(place: CopyPlace, signal: AbortSignal | undefined): Promise<void> {
  const options = { timeoutMs: tryWithinMs, signal, env: { LC_ALL: 'C' } };
  try {
    await mkdir(place.path, { mode: 0o700 });
    for (const root of place.roots) {
      const copy = rootIn(place, root);
      await mkdir(posix.dirname(copy), { recursive: true });
      const what = place.by === 'btrfs' ? root : await smallFileIn(root, options);
      if (what !== '') await runCommand(copyArgv(place.by, what, copy), options);
    }
  } finally {
    await removeCopy(place);
  }
}

async function smallFileIn(root: string, options: Parameters<typeof runCommand>[1]): Promise<string> {
  const find = ['find', root, '-type', 'f', '-size', '+0', '-size', '-1024k', '-print', '-quit'];
  return (await runCommand(find, options)).stdout.trimEnd();
}

async function lacksRoom(
  folder: string,
  { dataBytes, rooms, ...but }: ChoiceOptions,
): Promise<string | null> {
  try {
    const freeBytes = await freeBytesIn(folder);
    const taken = await rooms.taken(folder, but);
    if (dataBytes === null || freeBytes - taken.mostBytes >= dataBytes * growth) return null;
    return `${sizeText(freeBytes)} free in ${folder}${takenText(taken)}, and the data has ${sizeText(dataBytes)}`;
  } catch (error) {
    return textOf(error);
  }
}

async function promiseRoom(
  folder: string,
  copied: Copied,
  { dataBytes, rooms, oneOf }: ChoiceOptions,
): Promise<void> {
  const bytes = (dataBytes ?? 0) * growth;
  await rooms.promise({
    ...{ who: `the copy of ${copyKey(copied).replace('/', ' ')}`, folder },
    ...{ leastBytes: bytes, mostBytes: bytes },
    ...(oneOf !== undefined && { oneOf }),
  });
}

/** What no journal knows: a try of an agent that died is cleared; whose a copy is, a person has to say. */
async function leftovers(data: CopiedData, known: readonly string[]): Promise<readonly string[]> {
  const { folder, name: own } = besides(data);
  const names = await readdir(folder).catch(() => []);
  const paths = names
    .filter((name) => name.startsWith(`${own}.coldbackup-`))
    .map((name) => posix.join(folder, name))
    .filter((path) => isOurs(path) && !known.includes(path));
  const left = paths.filter((path) => !isTry(path));
  for (const path of paths.filter(isLeftTry)) {
    const why = await failureOf(() => removeCopy({ by: 'btrfs', path, roots: data.roots }));
    if (why !== null) left.push(path);
  }
  return left;
}

async function failureOf(work: () => Promise<void>): Promise<string | null> {
  try {
    await work();
    return null;
  } catch (error) {
    return textOf(error);
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
