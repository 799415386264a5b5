import { lstat } from 'node:fs/promises';
import { endianness, machine } from 'node:os';
import type { Machine } from '../../model/manifest.ts';

/** The one that this runs on. */
export function thisMachine(): Machine {
  return { arch: machine(), byteOrder: endianness() === 'LE' ? 'little-endian' : 'big-endian' };
}

/** `998:998`; of a link its own. */
export async function ownerOf(path: string): Promise<string> {
  const { uid, gid } = await lstat(path);
  return `${uid}:${gid}`;
}
