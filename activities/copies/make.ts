import { mkdir } from 'node:fs/promises';
import { posix } from 'node:path';
import type { CopyWay } from '../../model/site.ts';
import { runCommand } from '../system/command.ts';
import { rootIn, type CopyPlace } from './place.ts';
import { removeCopy } from './remove.ts';

export interface CopyHooks {
  /** Ends it; what it has made by then is for whoever undoes it. */
  readonly signal: AbortSignal;
  /** Of each process group, as soon as it runs. */
  readonly onProcess: (pid: number) => void;
}

/**
 * Copies all roots on this host, with owners, modes, times, hard links, xattrs and ACLs. The folder is
 * readable for the agent alone. Throws CommandError, or the reason of the signal.
 */
export async function makeCopy(place: CopyPlace, { signal, onProcess }: CopyHooks): Promise<void> {
  await removeCopy(place);
  await mkdir(place.path, { mode: 0o700 });
  await Promise.all(
    place.roots.map(async (root) => {
      const copy = rootIn(place, root);
      await mkdir(posix.dirname(copy), { recursive: true });
      const options = { signal, env: { LC_ALL: 'C' }, onSpawn: onProcess };
      await runCommand(copyArgv(place.by, root, copy), options);
    }),
  );
}

/** `to` does not exist yet, its folder does. */
export function copyArgv(by: CopyWay, from: string, to: string): readonly string[] {
  if (by === 'btrfs') return ['btrfs', 'subvolume', 'snapshot', '-r', from, to];
  const how = by === 'reflink' ? 'always' : 'auto';
  const options = ['--archive', '--one-file-system', `--reflink=${how}`, '--no-target-directory'];
  return ['cp', ...options, '--', from, to];
}
