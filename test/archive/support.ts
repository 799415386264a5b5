import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { copyTree } from '../../activities/archive/copy-tree.ts';
import type { CopiedTree, CopyHooks, TreeCopy } from '../../activities/archive/copy-tree.ts';
import { createDirectoryStore } from '../../activities/stores/directory.ts';
import type { Store } from '../../activities/stores/store.ts';
import { runCommand } from '../../activities/system/command.ts';
import type { SetRef } from '../../model/manifest.ts';

export const isRoot = process.getuid?.() === 0;
export const host = 'mongo-1';
export const setRef: SetRef = { site: 'vitam', procedure: 'nightly', id: '2026-11-20T190000Z-0a1b2c3d' };

export interface Place {
  /** An own folder; gone at the end, with what is mounted below it. */
  readonly folder: string;
  readonly tree: string;
  readonly store: Store;
  readonly setFolder: string;
  mount(path: string, ...options: readonly string[]): Promise<void>;
  remove(): Promise<void>;
}

export async function makePlace(options: { readonly shared?: boolean } = {}): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), 'coldbackup-archive-'));
  const tree = join(folder, 'tree');
  const directory = join(folder, 'store');
  const mounts: string[] = [];
  // For programs that run as another user.
  await chmod(folder, 0o755);
  await mkdir(tree);
  await mkdir(directory);
  const spec = { kind: 'directory', directory, shared: options.shared ?? true, keeper: host } as const;
  return {
    folder,
    tree,
    store: createDirectoryStore('vault', spec, host),
    setFolder: join(directory, setRef.site, setRef.procedure, setRef.id),
    async mount(path, ...how) {
      await mkdir(path, { recursive: true });
      await runCommand(['mount', ...how, path]);
      mounts.unshift(path);
    },
    async remove() {
      for (const path of mounts) await runCommand(['umount', path]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export async function copy(
  place: Place,
  changes: Partial<TreeCopy> = {},
  hooks: Partial<CopyHooks> = {},
): Promise<CopiedTree> {
  const { copied } = await copyTree(
    {
      host,
      roots: [place.tree],
      exclude: [],
      stores: [place.store],
      set: setRef,
      artifact: 'offer/tree.tar.zst',
      owner: '3-6/backup/offer',
      ...changes,
    },
    {
      signal: new AbortController().signal,
      onProcess: () => undefined,
      onProgress: () => undefined,
      ...hooks,
    },
  );
  const [tree] = copied;
  if (tree === undefined) throw new Error('it was sealed nowhere');
  return tree;
}

/** These programs stand before all others on PATH meanwhile. */
export async function withTools<T>(
  programs: Readonly<Record<string, string>>,
  work: () => Promise<T>,
): Promise<T> {
  const path = process.env['PATH'];
  const tools = await mkdtemp(join(tmpdir(), 'coldbackup-tools-'));
  await chmod(tools, 0o755);
  for (const [name, text] of Object.entries(programs))
    await writeFile(join(tools, name), text, { mode: 0o755 });
  process.env['PATH'] = `${tools}:${path}`;
  try {
    return await work();
  } finally {
    process.env['PATH'] = path;
    await rm(tools, { recursive: true, force: true });
  }
}

/** The program as a user who may not read everything: root may. */
export function asNobody(program: string): string {
  const user = isRoot ? 'setpriv --reuid=65534 --regid=65534 --clear-groups -- ' : '';
  return `#!/bin/sh\nPATH=\${PATH#*:}\nexec ${user}${program} "$@"\n`;
}

/** By hand, as docs/restore-by-hand.md says. */
export async function restore(archive: string, into: string): Promise<void> {
  await mkdir(into, { recursive: true });
  const script = `zstd -dc "$1" | tar -x --xattrs --xattrs-include='*' --acls --numeric-owner -p -C "$2" -f -`;
  await runCommand(['bash', '-o', 'pipefail', '-c', script, 'restore', archive, into]);
}

/** Everything that tells two trees apart, but for the inode numbers. */
export async function picture(tree: string): Promise<string> {
  const script = [
    String.raw`find . -printf '%y %m %U %G %n %s %T@ %l %p\0' | sed -z 's/^d \([^ ]* [^ ]* [^ ]*\) [^ ]* [^ ]*/d \1/' | sort -z | tr '\0' '\n'`,
    'find . -type f -print0 | sort -z | xargs -0 sha256sum',
    `find . -print0 | sort -z | xargs -0 getfattr -h -d -m '^user|^security|^system.posix' -e hex`,
  ].join(' && ');
  // Bytes that are no UTF-8 would all look alike here.
  const shown = `set -o pipefail; { ${script}; } | cat -v`;
  return (await runCommand(['bash', '-c', shown], { cwd: tree, env: { LC_ALL: 'C' } })).stdout;
}

export async function filesBelow(folder: string): Promise<readonly string[]> {
  const { stdout } = await runCommand(['find', folder, '-mindepth', '1', '-type', 'f', '-printf', '%P\\n']);
  return stdout.split('\n').filter(Boolean).sort();
}

/** Waits for a condition, not for a time. */
export async function eventually(isSo: () => boolean | Promise<boolean>): Promise<void> {
  const until = Date.now() + 30_000;
  while (!(await isSo())) {
    if (Date.now() > until) throw new Error('it did not come about within 30 s');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
