import { closeSync, ftruncateSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand, startProcess } from '../../activities/system/command.ts';
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
 * A real file system in a sparse file, mounted until the cleanup, or until this process is gone, however it ends.
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
  await runCommand([...mkfs[kind], image]);
  // The end of its input is the end of this process, or of the cleanup.
  const guard = startProcess(['sh', '-c', untilClosed, 'sh', kind, image, place], { stdin: 'pipe' });
  const mounted = new Promise<boolean>((resolve) => guard.stdout.once('data', () => resolve(true)));
  const ended = guard.done.then(({ exitCode, stderr }) => `exit code ${exitCode}: ${stderr}`);
  cleanup.add(async () => {
    guard.stdin?.end();
    await guard.done;
  });
  const failure = await Promise.race([mounted.then(() => null), ended]);
  if (failure !== null) throw new Error(`${kind} could not be mounted: ${failure}`);
  return place;
}

/** Whatever still uses it then is cut off; the kernel gives the loop device back with the last use. */
const untilClosed = `mount -o loop -t "$1" "$2" "$3" || exit
echo mounted
cat >/dev/null
umount --lazy "$3"
rm -f "$2"
`;
