import { mkdirSync, openSync, closeSync, ftruncateSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand } from '../../activities/system/command.ts';
import type { Cleanup } from './cleanup.ts';

export type FileSystem = 'xfs' | 'btrfs' | 'ext4';

const mkfs: Readonly<Record<FileSystem, readonly string[]>> = {
  xfs: ['mkfs.xfs', '-q', '-m', 'reflink=1'],
  btrfs: ['mkfs.btrfs', '--quiet'],
  ext4: ['mkfs.ext4', '-q', '-F'],
};

/** Why this machine cannot mount a file system of its own; null: it can. */
export function cannotMount(): string | null {
  return process.getuid?.() === 0 ? null : 'only root can mount a file system';
}

/**
 * A real file system in a sparse file, mounted until the cleanup: whatever still uses it by then is cut off, and the file
 * is gone.
 *
 * @returns the folder it is mounted on.
 */
export async function mountFileSystem(
  cleanup: Pick<Cleanup, 'add' | 'folder'>,
  kind: FileSystem,
  { sizeMb = 1_024 }: { readonly sizeMb?: number } = {},
): Promise<string> {
  const folder = await cleanup.folder();
  const image = join(folder, `${kind}.img`);
  const place = join(folder, 'mounted');
  mkdirSync(place);
  const fd = openSync(image, 'w');
  ftruncateSync(fd, sizeMb * 1024 * 1024);
  closeSync(fd);
  cleanup.add(() => rmSync(image, { force: true }));
  await runCommand([...mkfs[kind], image]);
  // The kernel gives the loop device back with the last use of the mount.
  await runCommand(['mount', '-o', 'loop', '-t', kind, image, place]);
  cleanup.add(async () => {
    await runCommand(['umount', '--lazy', place]);
  });
  return place;
}
