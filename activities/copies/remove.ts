import { lstat, statfs } from 'node:fs/promises';
import { runCommand } from '../system/command.ts';
import { btrfsMagic } from '../system/rooms.ts';
import { isOurs, rootIn, type CopyPlace } from './place.ts';

/** The inode of the root of every subvolume of btrfs. */
const subvolumeInode = 256;

/** Removes the copy, whole or half made; one that is gone already is well. */
export async function removeCopy(place: CopyPlace): Promise<void> {
  const { by, path, roots } = place;
  if (!isOurs(path)) throw new Error(`${path} is not the name of a copy: it is not removed`);
  for (const copy of by === 'btrfs' ? roots.map((root) => rootIn(place, root)) : [])
    if (await isSubvolume(copy)) await runCommand(['btrfs', 'subvolume', 'delete', copy]);
  await runCommand(['rm', '--recursive', '--force', '--one-file-system', '--', path]);
}

/** Of btrfs; false also where nothing is. */
export async function isSubvolume(folder: string): Promise<boolean> {
  const { ino } = await lstat(folder).catch(() => ({ ino: 0 }));
  return ino === subvolumeInode && (await statfs(folder)).type === btrfsMagic;
}
