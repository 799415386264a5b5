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
 * Copies the data of `root` on this host, with owners, modes, times, hard links, xattrs and ACLs. The folder is
 * readable for the agent alone. Throws CommandError, or the reason of the signal.
 */
export async function makeCopy(place: CopyPlace, { signal, onProcess }: CopyHooks): Promise<void> {
  await removeCopy(place);
  await mkdir(place.path, { mode: 0o700 });
  await mkdir(posix.dirname(rootIn(place)), { recursive: true });
  await runCommand(copyArgv(place.by, place.root, rootIn(place)), {
    signal,
    env: { LC_ALL: 'C' },
    onSpawn: onProcess,
  });
}

/** `to` does not exist yet, its folder does. */
export function copyArgv(by: CopyWay, from: string, to: string): readonly string[] {
  if (by === 'btrfs') return ['btrfs', 'subvolume', 'snapshot', '-r', from, to];
  const how = by === 'reflink' ? 'always' : 'auto';
  return ['cp', '--archive', `--reflink=${how}`, '--no-target-directory', '--', from, to];
}
