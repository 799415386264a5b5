import { lstat, readdir, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { Artifact } from '../../model/manifest.ts';
import type { Drill, HostName } from '../../model/site.ts';
import { unpackedBytes } from '../archive/unpack.ts';
import { sizeText } from '../stores/size-text.ts';
import { refusedDrill } from './isolated.ts';

/** What is written besides the content: a server's journal and what a replay of its oplog writes. */
const besidesBytes = 512 * 1024 * 1024;
const mostLeftFreeBytes = 10e9;
const asGoodAsFullBytes = 16e6;
const lookEveryMs = 250;
/** Adding up what lies there is no more than this part of the time. */
const adding = 0.1;

/** Of a set: what is unpacked at one time. */
export type Part = Pick<Artifact, 'name' | 'contentBytes'>;

/** Throws before anything is unpacked where there is no room for it. */
export async function checkRoom(drill: Drill, host: HostName, parts: readonly Part[]): Promise<void> {
  const why = await whyNoRoom(drill, host, parts);
  if (why !== null) throw refusedDrill(why);
}

/** Why the largest part does not fit beside what must stay free, and what to do; null: it fits. */
export async function whyNoRoom(
  drill: Drill,
  host: HostName,
  parts: readonly Part[],
): Promise<string | null> {
  const largest = [...parts].sort((one, other) => other.contentBytes - one.contentBytes)[0];
  const { scratch, diskBytes } = drill;
  const found = await stat(scratch).catch(() => null);
  if (found?.isDirectory() !== true)
    return `The scratch folder ${scratch} is not there: make it, or mount its disk.`;
  if (largest === undefined) return null;
  const needs = neededBytes(largest);
  const what = `A drill needs ${sizeText(needs)} for ${largest.name} (${sizeText(largest.contentBytes)} unpacked)`;
  if (diskBytes !== undefined && needs > diskBytes)
    return `${what}, and drill.disk lets it write ${sizeText(diskBytes)}: raise it.`;
  const { freeBytes, floorBytes } = await freeRoom(drill);
  if (freeBytes - needs >= floorBytes) return null;
  return `${what}; the scratch folder ${scratch} on ${host} has ${sizeText(freeBytes)} free, of which ${sizeText(floorBytes)} must stay free (drill.leave-free).`;
}

/** Why a server should not open data where it lies; null: there is room for what it writes. */
export async function whyNoRoomIn(folder: string): Promise<string | null> {
  const { freeBytes, floorBytes } = await freeRoom({ scratch: folder });
  if (freeBytes - besidesBytes >= floorBytes) return null;
  return `${folder} has ${sizeText(freeBytes)} free, of which ${sizeText(floorBytes)} must stay free, and a server may write ${sizeText(besidesBytes)} there`;
}

export interface RoomWatch {
  /** Aborted, with what to do, when there is less room than must stay free, or more was written than may be. */
  readonly signal: AbortSignal;
  stop(): void;
}

/** While one artifact is drilled in this folder. What `tar` writes is held against the manifest: that is not added up. */
export function watchRoom(
  drill: Drill,
  { folder, artifact, adds }: { folder: string; artifact: Artifact; adds: () => boolean },
): RoomWatch {
  const most = drill.diskBytes ?? 2 * neededBytes(artifact);
  const over = new AbortController();
  let stopped = false;
  let addAgainAtMs = 0;
  const look = async (): Promise<void> => {
    const { freeBytes, floorBytes } = await freeRoom(drill);
    if (freeBytes < floorBytes) throw noRoom(drill, freeBytes, floorBytes);
    if (!adds() || performance.now() < addAgainAtMs) return;
    const beganMs = performance.now();
    const written = await bytesBelow(folder);
    addAgainAtMs = performance.now() + (performance.now() - beganMs) / adding;
    if (written > most)
      throw refusedDrill(
        `The drill of ${artifact.name} was given up: it has written ${sizeText(written)} below ${drill.scratch}, and may write ${sizeText(most)} (drill.disk; left out: twice what the part needs).`,
      );
  };
  const next = (): void => {
    if (stopped || over.signal.aborted) return;
    setTimeout(() => void look().then(next, (error: unknown) => over.abort(error)), lookEveryMs);
  };
  next();
  return {
    signal: over.signal,
    stop: () => {
      stopped = true;
    },
  };
}

/** What failed for want of room is no finding about a set; null: something else. A server that cannot write its log says nothing. */
export async function asNoRoom(drill: Drill, said: string): Promise<Error | null> {
  const { freeBytes, floorBytes } = await freeRoom(drill);
  const isSaid = /ENOSPC|No space left on device|EDQUOT|Disk quota exceeded/.test(said);
  if (!isSaid && freeBytes > asGoodAsFullBytes) return null;
  return noRoom(drill, freeBytes, floorBytes);
}

function noRoom({ scratch }: Drill, freeBytes: number, floorBytes: number): Error {
  return refusedDrill(
    `The drill was given up: the disk of the scratch folder ${scratch} ran full, with ${sizeText(freeBytes)} free, of which ${sizeText(floorBytes)} must stay free (drill.leave-free). Make room.`,
  );
}

function neededBytes({ contentBytes }: Pick<Part, 'contentBytes'>): number {
  return unpackedBytes(contentBytes) + besidesBytes;
}

async function freeRoom({
  scratch,
  leaveFreeBytes,
}: Pick<Drill, 'scratch' | 'leaveFreeBytes'>): Promise<{ freeBytes: number; floorBytes: number }> {
  const { bavail, blocks, bsize } = await statfs(scratch);
  return {
    freeBytes: bavail * bsize,
    floorBytes: leaveFreeBytes ?? Math.min((blocks * bsize) / 20, mostLeftFreeBytes),
  };
}

/** Allocated; what vanishes meanwhile counts nothing. */
async function bytesBelow(folder: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
    const path = join(folder, entry.name);
    bytes += entry.isDirectory()
      ? await bytesBelow(path)
      : await lstat(path).then(
          ({ blocks }) => blocks * 512,
          () => 0,
        );
  }
  return bytes;
}
