import { mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCommand } from '../activities/system/command.ts';
import type { Store } from '../model/site.ts';
import type { PassFigures, PassRequest } from './pass.ts';

/** One way to back up a tree and to restore it. Times are of the work alone: what it needs before is there already. */
export interface Arm {
  readonly name: string;
  /** What comes back of names besides content. GNU tar's own format has times in seconds, and takes no attributes unasked. */
  readonly keeps: Kept;
  /** Makes what `backup` needs; not timed. */
  prepare?(folder: string): Promise<void>;
  backup(tree: string, folder: string): Promise<Took>;
  /** Into an empty folder; gives where the tree lies below it. */
  restore?(folder: string, target: string, tree: string): Promise<Took & { readonly at: string }>;
}

/** plain: kinds, owners, modes, links, and times in seconds. all: whole times, extended attributes and ACLs too. */
export type Kept = 'all' | 'plain';

export interface Took {
  readonly ms: number;
  readonly peakRssMb?: number;
}

/** The pass that an agent makes, in a process of its own, into folders. */
export function coldbackupArm(name: string, stores: readonly string[], level?: number): Arm {
  const request = (folder: string) => ({
    stores: stores.map((store) => directoryStore(join(folder, store))),
    note: join(folder, 'artifact.json'),
  });
  return {
    name,
    keeps: 'all',
    prepare: async (folder) => {
      for (const store of stores) await mkdir(join(folder, store), { recursive: true });
    },
    backup: async (tree, folder) => pass({ ...request(folder), tree, ...(level !== undefined && { level }) }),
    restore: async (folder, target, tree) => ({
      ...(await pass({ ...request(folder), target })),
      at: join(target, tree),
    }),
  };
}

/** GNU tar through a compressor, with what takes the digest afterwards. */
export function tarArm(name: string, pack: string, unpack: string): Arm {
  return {
    name,
    keeps: 'plain',
    backup: (tree, folder) => shell(pack, tree, join(folder, 'archive')),
    restore: async (folder, target) => ({
      ...(await shell(unpack, target, join(folder, 'archive'))),
      at: target,
    }),
  };
}

export function resticArm(): Arm {
  const restic = (folder: string, words: readonly string[]) =>
    timed(['restic', '--quiet', '--no-cache', '--repo', join(folder, 'repository'), ...words], {
      env: { RESTIC_PASSWORD: 'bench' },
    });
  return {
    name: 'restic, first backup',
    keeps: 'all',
    prepare: async (folder) => {
      await restic(folder, ['init']);
    },
    backup: (tree, folder) => restic(folder, ['backup', tree]),
    restore: async (folder, target, tree) => ({
      ...(await restic(folder, ['restore', 'latest', '--target', target])),
      at: join(target, tree),
    }),
  };
}

export function borgArm(): Arm {
  const env = (folder: string) => ({
    BORG_REPO: join(folder, 'repository'),
    BORG_BASE_DIR: folder,
    BORG_PASSPHRASE: 'bench',
  });
  return {
    name: 'borg -C zstd,3, first backup',
    keeps: 'all',
    prepare: async (folder) => {
      await timed(['borg', 'init', '--encryption', 'repokey'], { env: env(folder) });
    },
    backup: (tree, folder) =>
      timed(['borg', 'create', '--compression', 'zstd,3', '::bench', tree], { env: env(folder) }),
    restore: async (folder, target, tree) => ({
      ...(await timed(['borg', 'extract', '::bench'], { env: env(folder), cwd: target })),
      at: join(target, tree),
    }),
  };
}

export function directoryStore(directory: string): Store {
  return { kind: 'directory', directory, shared: false, keeper: 'bench' };
}

export async function bytesIn(folder: string): Promise<number> {
  const { stdout } = await runCommand(['du', '--summarize', '--block-size=1', folder]);
  return Number.parseInt(stdout, 10);
}

/** Throws when a tree that was restored is not the one that was backed up, with the first names that differ. */
export async function mustBeEqual(tree: string, restored: string, keeps: Kept): Promise<void> {
  await stat(restored);
  await runCommand(['diff', '--recursive', '--no-dereference', tree, restored]);
  const seconds = keeps === 'all' ? '' : String.raw`s/^(\S+ \S+ \S+ \S+ [0-9]+)\.[0-9]+/\1/`;
  const attributes =
    keeps === 'all' ? ` && find . -print0 | sort -z | xargs -0 getfattr -h -d -m - -e hex` : '';
  // A folder's size and links are the file system's own.
  const script = String.raw`set -o pipefail; exec 2>&1; export LC_ALL=C
list() {
  cd "$1" && find . -type d -printf '%y %m %U %G %T@ %P\n' -o -printf '%y %m %U %G %T@ %n %s %l %P\n' |
    sed -E "$2" | sort${attributes}
}
diff <(list "$1" "$3") <(list "$2" "$3") | head -n 20`;
  const { stdout, exitCode } = await runCommand(['bash', '-c', script, 'bash', tree, restored, seconds], {
    acceptExit: [0, 1, 141],
  });
  if (exitCode !== 0) throw new Error(`${restored} is not ${tree}, besides content:\n${stdout}`);
}

export async function emptied(folder: string): Promise<string> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  // What the arm before wrote is not this one's to wait for.
  await runCommand(['sync']);
  return folder;
}

export async function pass(request: PassRequest): Promise<PassFigures> {
  const program = fileURLToPath(new URL('pass.js', import.meta.url));
  const { stdout } = await runCommand([process.execPath, program, JSON.stringify(request)]);
  return JSON.parse(stdout) as PassFigures;
}

async function shell(script: string, ...args: readonly string[]): Promise<Took> {
  return timed(['sh', '-c', `set -e; ${script}`, 'sh', ...args]);
}

async function timed(
  argv: readonly string[],
  options: { readonly env?: Record<string, string>; readonly cwd?: string } = {},
): Promise<Took> {
  const { durationMs } = await runCommand(argv, options);
  return { ms: durationMs };
}
