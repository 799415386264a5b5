import { randomBytes } from 'node:crypto';
import { appendFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import {
  chmod,
  chown,
  link,
  mkdir,
  open,
  readFile,
  realpath,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createDirectoryStore } from '../../activities/stores/directory.ts';
import type { Store } from '../../activities/stores/store.ts';
import { groupIsAlive, runCommand } from '../../activities/system/command.ts';
import {
  asNobody,
  copy,
  eventually,
  filesBelow,
  host,
  isRoot,
  makePlace,
  picture,
  restore,
  setRef,
  withTools,
} from './support.ts';
import type { Place } from './support.ts';
import type { Database } from '../../model/site.ts';
import { copyTo, siteOf } from '../stores/support.ts';

const mebibyte = 1024 * 1024;
// Only root can give files away and mount.
const asRoot = isRoot ? test : test.skip;

let place: Place;
beforeEach(async () => {
  place = await makePlace();
});
afterEach(async () => {
  await place.remove();
});

const archive = (): string => join(place.setFolder, 'offer/tree.tar.zst');
const list = (): string => `${archive()}.files`;
const inTree = (...names: string[]): string => join(place.tree, ...names);
/** Where a restored tree lies: under the names of its root. */
const restored = (): string => join(place.folder, 'restored', place.tree);

test('is compressed at the level of its database: what the site file says, else 1 for MongoDB and 3 for files', async () => {
  const lines = Array.from({ length: 40_000 }, (_, i) => `{"_id": ${i}, "of": ${(i * i) % 9_973}}\n`);
  await writeFile(inTree('lines'), lines.join(''));
  const files = { kind: 'files', host, roots: [place.tree], exclude: [] } as const;
  const mongodb = { kind: 'mongodb', members: {}, allow: [] } as const;
  const sizeWith = async (name: string, database: Omit<Database, 'usedBy'>): Promise<number> => {
    const vault = {
      kind: 'directory',
      directory: join(place.folder, 'store'),
      shared: true,
      keeper: host,
    } as const;
    const site = { ...siteOf(vault), databases: { offer: { usedBy: [], ...database } } };
    return (await copyTo(site, host, setRef, name, place.tree)).sizeBytes;
  };

  const level1 = await sizeWith('one', { engine: files, compress: 1 });
  const level3 = await sizeWith('three', { engine: files, compress: 3 });

  expect(level3).not.toBe(level1);
  expect(await sizeWith('files', { engine: files })).toBe(level3);
  expect(await sizeWith('mongodb', { engine: mongodb })).toBe(level1);
});

describe('a restore by hand', () => {
  test('gives back every kind of file, name, link, time and attribute, and its file list checks it', async () => {
    await makeOddTree();
    const before = await picture(place.tree);

    const copied = await copy(place);

    await restore(archive(), join(place.folder, 'restored'));
    expect(await picture(restored())).toBe(before);
    const check = await runCommand(['sha256sum', '-c', '--strict', '--quiet', list()], {
      cwd: join(place.folder, 'restored'),
    });
    expect(check.stdout).toBe('');
    const sums = await runCommand(['sha256sum', archive(), list()]);
    expect(sums.stdout).toContain(copied.sha256);
    expect(sums.stdout).toContain(copied.fileList.sha256);
    expect((await stat(archive())).size).toBe(copied.sizeBytes);
    expect((await stat(list())).size).toBe(copied.fileList.sizeBytes);
    const lines = (await readFile(list(), 'latin1')).trimEnd().split('\n');
    expect(lines).toHaveLength(copied.files);
    expect(copied.leftOut).toEqual([]);
  });

  asRoot('gives back owners by number and set-id bits (needs root)', async () => {
    await writeFile(inTree('owned'), 'x');
    await chown(inTree('owned'), 12_345, 54_321);
    await chmod(inTree('owned'), 0o4750);
    await mkdir(inTree('folder'), { mode: 0o2770 });
    await chown(inTree('folder'), 12_345, 0);
    await runCommand(['setfacl', '-m', 'u:4242:r', inTree('owned')]);
    const before = await picture(place.tree);

    await copy(place);

    await restore(archive(), join(place.folder, 'restored'));
    expect(await picture(restored())).toBe(before);
  });

  test('is the same from the same tree, byte by byte', async () => {
    await makeOddTree();
    const first = await copy(place, { artifact: 'one.tar.zst' });
    const second = await copy(place, { artifact: 'two.tar.zst' });
    expect(second.sha256).toBe(first.sha256);
    expect(second.fileList.sha256).toBe(first.fileList.sha256);
  });
});

describe('what belongs to a copy', () => {
  test('sockets, FIFOs and excluded paths are listed, and never opened', async () => {
    await writeFile(inTree('kept'), 'kept');
    await runCommand(['mkfifo', inTree('a fifo')]);
    await mkdir(inTree('diagnostic.data'));
    await writeFile(inTree('diagnostic.data', 'metrics'), 'x');
    await mkdir(inTree('sub'));
    await writeFile(inTree('sub', 'mongod.pid'), '1');
    await writeFile(inTree('sub', 'mongod.pidx'), 'kept too');
    const server = createServer().listen(inTree('mongodb.sock'));
    try {
      const copied = await copy(place, { exclude: ['diagnostic.data', '*.pid'] });
      expect([...copied.leftOut].sort()).toEqual(
        [
          inTree('a fifo'),
          inTree('diagnostic.data'),
          inTree('mongodb.sock'),
          inTree('sub', 'mongod.pid'),
        ].sort(),
      );
      expect(await namesIn(archive())).toEqual(['', '/kept', '/sub', '/sub/mongod.pidx']);
    } finally {
      server.close();
    }
  });

  test('several roots keep their names, and a root within another is stored once', async () => {
    await mkdir(inTree('a', 'inner'), { recursive: true });
    await mkdir(inTree('b [1]'));
    await writeFile(inTree('a', 'inner', 'x'), 'x');
    await writeFile(inTree('a', 'log'), 'x');
    await writeFile(inTree('b [1]', 'log'), 'x');
    await writeFile(inTree('b [1]', 'y'), 'y');
    const copied = await copy(place, {
      roots: [`${inTree('b [1]')}/`, inTree('a'), inTree('a', 'inner')],
      exclude: ['log'],
    });
    expect(await namesIn(archive())).toEqual(['/a', '/a/inner', '/a/inner/x', '/b [1]', '/b [1]/y']);
    expect(copied.files).toBe(2);
  });

  test('a link that leaves the roots is an error that names it, unless another root covers it', async () => {
    await mkdir(inTree('data'));
    await mkdir(inTree('journal'));
    await symlink('../journal', inTree('data', 'journal'));
    await symlink('/nowhere/else', inTree('data', 'other'));
    await symlink('missing', inTree('data', 'dangling'));
    const failed = copy(place, { roots: [inTree('data')] });
    await expect(failed).rejects.toThrow(`${inTree('data', 'journal')} is a symbolic link to ../journal`);
    await expect(failed).rejects.toThrow(`${inTree('data', 'other')} is a symbolic link to /nowhere/else`);
    await expect(failed).rejects.not.toThrow('dangling');
    rmSync(inTree('data', 'other'));
    await copy(place, { roots: [inTree('data'), inTree('journal')] });
  });

  test('a root that is a link, or is missing, is an error that names it', async () => {
    await symlink(place.folder, inTree('link'));
    await expect(copy(place, { roots: [inTree('link')] })).rejects.toThrow(
      `${inTree('link')} is a symbolic link`,
    );
    await expect(copy(place, { roots: [inTree('missing')] })).rejects.toThrow(inTree('missing'));
    await expect(copy(place, { roots: ['/'] })).rejects.toThrow('no root to copy');
    await expect(copy(place, { roots: ['data'] })).rejects.toThrow('no root to copy');
  });

  asRoot('a mount below a root is an error that names it, also of the same disk (needs root)', async () => {
    await place.mount(inTree('tmpfs'), '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs');
    await mkdir(join(place.folder, 'elsewhere'));
    await place.mount(inTree('bound'), '--bind', join(place.folder, 'elsewhere'));
    const failed = copy(place);
    await expect(failed).rejects.toThrow(`${inTree('tmpfs')} is a mount point`);
    await expect(failed).rejects.toThrow(`${inTree('bound')} is a mount point`);
    await copy(place, { artifact: 'a.tar.zst', roots: [place.tree, inTree('tmpfs'), inTree('bound')] });
    await copy(place, { artifact: 'b.tar.zst', exclude: ['tmpfs', 'bound'] });
  });
});

describe('a tree that is not at rest', () => {
  /** Acts while tar is in the large file: the names before it are read, those after it are not. */
  async function copyWhile(act: () => void): Promise<unknown> {
    await writeFile(inTree('a-small'), 'small');
    await writeFile(inTree('m-large'), randomBytes(16 * mebibyte));
    await writeFile(inTree('z-last'), 'last');
    let done = false;
    return copy(
      place,
      {},
      {
        onProgress: () => {
          if (!done) act();
          done = true;
        },
      },
    );
  }

  test.each([
    ['grows while it is read', 'm-large', (path: string) => appendFileSync(path, 'more')],
    ['shrinks while it is read', 'm-large', (path: string) => truncateSync(path, mebibyte)],
    ['vanishes before it is read', 'z-last', (path: string) => rmSync(path)],
    ['is written after it was read', 'a-small', (path: string) => writeFileSync(path, 'SMALL')],
    ['changes before it is read', 'z-last', (path: string) => writeFileSync(path, 'LAST')],
    ['appears after its folder was read', 'b-new', (path: string) => writeFileSync(path, 'new')],
  ])('fails when a file %s, and names it', async (_, name, act) => {
    await expect(copyWhile(() => act(inTree(name)))).rejects.toThrow(name === 'b-new' ? inTree() : name);
    expect(await filesBelow(place.store.place)).toEqual([]);
  });

  test('fails for a file that the agent may not read, and names it', async () => {
    await writeFile(inTree('secret'), 'x', { mode: 0 });
    await withTools({ tar: asNobody('tar') }, async () => {
      await expect(copy(place)).rejects.toThrow(/could not be read.*secret.*Permission denied/s);
    });
    expect(await filesBelow(place.store.place)).toEqual([]);
  });
});

describe('a copy that cannot end well', () => {
  test('an abort ends its processes and leaves nothing behind', async () => {
    await writeFile(inTree('large'), randomBytes(64 * mebibyte));
    const abort = new AbortController();
    const pids: number[] = [];
    const copying = copy(
      place,
      {},
      {
        signal: abort.signal,
        onProcess: (pid) => pids.push(pid),
        onProgress: () => abort.abort(new Error('up-by is near')),
      },
    );
    await expect(copying).rejects.toThrow('up-by is near');
    expect(pids).toHaveLength(3);
    await eventually(() => !pids.some(groupIsAlive));
    expect(await filesBelow(place.store.place)).toEqual([]);
  });

  test('an abort does not wait for a reader that hangs, nor does it seal anything later', async () => {
    const abort = new AbortController();
    const pids: number[] = [];
    const hanging = `#!/bin/bash\ntrap '' TERM\nwhile :; do sleep 0.2; done\n`;
    await withTools({ tar: hanging }, async () => {
      const copying = copy(place, {}, { signal: abort.signal, onProcess: (pid) => pids.push(pid) });
      await eventually(() => pids.length === 3);
      const abortedAt = performance.now();
      abort.abort(new Error('enough'));
      await expect(copying).rejects.toThrow('enough');
      expect(performance.now() - abortedAt).toBeLessThan(4_500);
    });
    await eventually(() => !pids.some(groupIsAlive));
    expect(await filesBelow(place.store.place)).toEqual([]);
  });

  test('a compressor that dies is named', async () => {
    await writeFile(inTree('large'), randomBytes(16 * mebibyte));
    const pids: number[] = [];
    const copying = copy(
      place,
      {},
      {
        onProcess: (pid) => pids.push(pid),
        onProgress: () => process.kill(pids[2] ?? 0, 'SIGKILL'),
      },
    );
    await expect(copying).rejects.toThrow(/"zstd".* ended with exit code 137 on mongo-1/);
    expect(await filesBelow(place.store.place)).toEqual([]);
  });

  test('sealing over an artifact is refused, and the first one stays as it was', async () => {
    await writeFile(inTree('x'), 'one');
    await copy(place);
    const first = await readFile(archive());
    await writeFile(inTree('x'), 'two');
    await expect(copy(place)).rejects.toThrow('sealed already');
    expect(await readFile(archive())).toEqual(first);
    expect(await filesBelow(place.setFolder)).toEqual(['offer/tree.tar.zst', 'offer/tree.tar.zst.files']);
  });

  asRoot('a full store is said to be full, and keeps nothing of it (needs root)', async () => {
    const directory = join(place.folder, 'small');
    await place.mount(directory, '-t', 'tmpfs', '-o', 'size=2m', 'tmpfs');
    await writeFile(inTree('large'), randomBytes(16 * mebibyte));
    const store = createDirectoryStore(
      'small',
      { kind: 'directory', directory, shared: true, keeper: host },
      host,
    );
    await expect(copy(place, { stores: [store] })).rejects.toThrow(
      /Store small .* on host mongo-1 .* The store is full/,
    );
    expect(await filesBelow(directory)).toEqual([]);
  });

  test('a store that is gone is said to be gone, and is not made', async () => {
    const directory = join(place.folder, 'unmounted');
    const store = createDirectoryStore(
      'far',
      { kind: 'directory', directory, shared: true, keeper: host },
      host,
    );
    await expect(copy(place, { stores: [store] })).rejects.toThrow('is its disk mounted?');
    await expect(stat(directory)).rejects.toThrow('ENOENT');
  });
});

test('a store is told how large the archive can be, before it has any of it', async () => {
  await writeFile(inTree('random'), randomBytes(mebibyte));
  for (let n = 0; n < 200; n += 1) await writeFile(inTree(`small-${n}-${'x'.repeat(200)}`), randomBytes(700));
  const told: (number | undefined)[] = [];
  const store: Store = {
    ...place.store,
    create: (...what) => {
      told.push(what[3]);
      return place.store.create(...what);
    },
  };
  const { sizeBytes } = await copy(place, { stores: [store] });
  const [archive = 0, list] = told;
  expect([archive > sizeBytes, archive < 3 * sizeBytes, list]).toEqual([true, true, undefined]);
});

test('progress counts the content read and what the store took, up to the end', async () => {
  await writeFile(inTree('x'), Buffer.alloc(3 * mebibyte, 'progress'));
  await link(inTree('x'), inTree('y'));
  const seen: { readBytes: number; writtenBytes: number; totalBytes: number }[] = [];
  const { sizeBytes } = await copy(place, {}, { onProgress: (progress) => seen.push(progress) });
  expect(seen.at(-1)).toEqual({
    readBytes: 3 * mebibyte,
    writtenBytes: sizeBytes,
    totalBytes: 3 * mebibyte,
  });
});

async function makeOddTree(): Promise<void> {
  const long = 'l'.repeat(250);
  const deep = Array.from({ length: 12 }, (_, i) => `${i}-${'deep'.repeat(10)}`);
  await mkdir(inTree('empty folder'), { mode: 0o711 });
  await mkdir(inTree(...deep), { recursive: true });
  await writeFile(inTree(...deep, long), 'at the end of a long path');
  const latin1 = Buffer.concat([Buffer.from(inTree('caf')), Buffer.from([0xe9])]);
  await writeFile(latin1, 'not UTF-8');
  const names = [
    '-rf',
    '--checkpoint=1',
    'new\nline',
    'back\\slash',
    'cr\r',
    'héé ✓ 日本',
    ' space ',
    '*',
    '[a]',
    '#',
    long,
  ];
  for (const name of names) await writeFile(inTree(name), `content of ${name}`, { mode: 0o640 });
  await writeFile(inTree('empty'), '');
  await writeFile(inTree('block'), Buffer.alloc(512, 1));
  await writeFile(inTree('block+1'), Buffer.alloc(513, 1));
  await link(inTree('block'), inTree('zz hard link'));
  await symlink('block', inTree('symlink'));
  await symlink('nowhere', inTree('dangling\nlink'));
  await runCommand(['setfattr', '-n', 'user.note', '-v', 'a=b\nc', inTree('block')]);
  await runCommand(['setfattr', '-n', 'user.big', '-v', 'v'.repeat(3_000), inTree('empty')]);
  const sparse = await open(inTree('sparse'), 'w');
  await sparse.write(Buffer.from('end'), 0, 3, 20 * mebibyte);
  await sparse.close();
  await writeFile(
    inTree('large'),
    Buffer.concat([randomBytes(mebibyte), Buffer.alloc(63 * mebibyte, 'large')]),
  );
  await utimes(inTree('block'), 1_000_000_000.123, 1_000_000_000.123);
}

async function namesIn(path: string): Promise<readonly string[]> {
  const { stdout } = await runCommand(['tar', '--zstd', '-tf', path]);
  const root = (await realpath(place.tree)).slice(1);
  return stdout
    .split('\n')
    .filter(Boolean)
    .map((name) => name.replace(root, '').replace(/\/$/, ''))
    .sort();
}
