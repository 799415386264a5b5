import { realpath, statfs } from 'node:fs/promises';
import { posix } from 'node:path';
import { contains } from '../../config/paths.ts';
import { runCommand } from './command.ts';
import { readMounts, type Mount } from './mounts.ts';

/** BTRFS_SUPER_MAGIC of statfs(2). */
export const btrfsMagic = 0x9123683e;

/** What will be written into a folder of this host, in one night. */
export interface Writing {
  /** For people: `store vault`. */
  readonly who: string;
  readonly folder: string;
  /** Of those with the same one alone is written, the largest at most: a set of members has one copied. Absent: each is. */
  readonly oneOf?: string;
  readonly leastBytes: number;
  readonly mostBytes: number;
}

/** What others will write where a folder is. */
export interface Taken {
  /** Of what is free in the folder; 0: they write elsewhere, or there is enough beside. */
  readonly leastBytes: number;
  readonly mostBytes: number;
  readonly by: readonly string[];
}

/** Who comes first has the room: what is promised to one is not free for the next on its file system. */
export interface Rooms {
  taken(folder: string, but?: Pick<Writing, 'oneOf'>): Promise<Taken>;
  promise(writing: Writing): Promise<void>;
}

/** Of one host and one night. Throws what the file system says where a folder is not there. */
export function createRooms(): Rooms {
  const promised: (Writing & Place)[] = [];
  return {
    async taken(folder, { oneOf } = {}) {
      const place = await placeOf(folder);
      const others = promised.filter(
        (one) => one.device === place.device && (oneOf === undefined || one.oneOf !== oneOf),
      );
      const none: Taken = { leastBytes: 0, mostBytes: 0, by: [...new Set(others.map(({ who }) => who))] };
      if (others.length === 0) return none;
      const freeBytes = await freeBytesIn(place.real);
      let taken = none;
      for (const level of place.levels) {
        // Quotas are of folders: above one there may be room that it has not.
        const besidesBytes = (await freeBytesIn(level)) - freeBytes;
        const there = others.filter(({ real }) => level === place.levels.at(-1) || contains(level, real));
        taken = {
          ...taken,
          leastBytes: Math.max(taken.leastBytes, sumOf(there, 'leastBytes') - besidesBytes),
          mostBytes: Math.max(taken.mostBytes, sumOf(there, 'mostBytes') - besidesBytes),
        };
      }
      return taken;
    },
    async promise(writing) {
      promised.push({ ...writing, ...(await placeOf(writing.folder)) });
    },
  };
}

/** For this process: a quota of a folder counts, as statfs(2) knows it (xfs, ext4) and as btrfs itself does. */
export async function freeBytesIn(folder: string): Promise<number> {
  const { type, bavail, bsize } = await statfs(folder);
  const freeBytes = bavail * bsize;
  return type === btrfsMagic ? Math.min(freeBytes, await leftOfQgroups(folder)) : freeBytes;
}

interface Place {
  readonly real: string;
  readonly device: string;
  /** The folder, and all above it on its file system. */
  readonly levels: readonly string[];
}

async function placeOf(folder: string): Promise<Place> {
  const real = await realpath(folder);
  const { point, device } = (await readMounts())
    .filter((mount) => contains(mount.point, real))
    .reduce<Mount>((last, mount) => (mount.point.length < last.point.length ? last : mount), {
      ...{ point: '/', device: '' },
    });
  const levels = [real];
  for (let level = real; level !== point; levels.push(level)) level = posix.dirname(level);
  return { real, device, levels };
}

function sumOf(writings: readonly Writing[], of: 'leastBytes' | 'mostBytes'): number {
  const largest = new Map<string | Writing, number>();
  for (const one of writings) {
    const key = one.oneOf ?? one;
    largest.set(key, Math.max(largest.get(key) ?? 0, one[of]));
  }
  return [...largest.values()].reduce((sum, bytes) => sum + bytes, 0);
}

/** Infinity: no limit, no quotas, or not for this user to see. */
async function leftOfQgroups(folder: string): Promise<number> {
  const argv = ['btrfs', 'qgroup', 'show', '--raw', '-reF', folder];
  const options = { timeoutMs: 10_000, env: { LC_ALL: 'C' } };
  const { stdout } = await runCommand(argv, options).catch(() => ({ stdout: '' }));
  const rows = stdout.matchAll(/^ *\d+\/\d+ +(\d+) +(\d+) +(\d+|none) +(\d+|none)\b/gm);
  const left = [...rows].flatMap(([, referenced, exclusive, mostReferenced, mostExclusive]) => [
    Number(mostReferenced) - Number(referenced),
    Number(mostExclusive) - Number(exclusive),
  ]);
  return Math.max(0, Math.min(Infinity, ...left.filter((bytes) => !Number.isNaN(bytes))));
}
