import { mkdir, readFile, rm } from 'node:fs/promises';
import { join, posix } from 'node:path';
import type { SetRef } from '../../model/manifest.ts';
import { isOurs } from '../copies/place.ts';
import { refuse } from '../ledger/refusals.ts';
import { runCommand } from '../system/command.ts';
import { replaceDurably } from '../system/durable.ts';
import type { RestorePlace } from './place.ts';

/** Written last, once every byte of the artifact is unpacked, right, and on the disk. */
export interface Verified {
  readonly set: SetRef;
  readonly artifact: string;
  /** Where each root of the place was unpacked, below the tree. */
  readonly roots: readonly string[];
}

const verifiedName = 'verified.json';

/** What an earlier try has left there goes first. The folder above is never made: its disk may not be mounted. */
export async function makeStaging({ staging }: RestorePlace): Promise<string> {
  await removeStaging({ staging });
  await mkdir(staging, { mode: 0o700 });
  const tree = join(staging, 'tree');
  await mkdir(tree, { mode: 0o700 });
  return tree;
}

export function unpackedRoot({ staging }: RestorePlace, root: string): string {
  return posix.join(staging, 'tree', root);
}

export function writeVerified({ staging }: RestorePlace, verified: Verified): void {
  replaceDurably(join(staging, verifiedName), JSON.stringify(verified));
}

/** Throws unless this very artifact was unpacked and verified there. */
export async function readVerified(
  { staging }: RestorePlace,
  wanted?: Omit<Verified, 'roots'>,
): Promise<Verified> {
  const text = await readFile(join(staging, verifiedName), 'utf8').catch(() => null);
  const verified = text === null ? null : (JSON.parse(text) as Verified);
  const isWanted =
    wanted === undefined || (verified?.artifact === wanted.artifact && verified.set.id === wanted.set.id);
  if (verified !== null && isWanted) return verified;
  throw refuse('NotUnderstood', `${staging} holds no verified ${wanted?.artifact ?? 'artifact'}`);
}

/** Whole or half made; one that is gone already is well. */
export async function removeStaging({ staging }: Pick<RestorePlace, 'staging'>): Promise<void> {
  if (!isOurs(staging)) throw new Error(`${staging} is not the name of a staging folder: it is not removed`);
  // It goes first: what is half removed is not verified.
  await rm(join(staging, verifiedName), { force: true });
  await runCommand(['rm', '--recursive', '--force', '--one-file-system', '--', staging]);
}
