import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { copyToStores } from '../../activities/archive/copy-artifact.ts';
import { createStoreActivities, openStore } from '../../activities/stores/activities.ts';
import { mendSet } from '../../activities/stores/mend.ts';
import { createResticStore } from '../../activities/stores/restic/store.ts';
import { runCommand, startProcess } from '../../activities/system/command.ts';
import { verifySet } from '../../activities/stores/verify.ts';
import type { ResticStore, Site } from '../../model/site.ts';
import { createCleanup, waitFor } from '../support/processes.ts';
import { conformance } from './conformance.ts';
import { makeRepository, noRestic, type Repository } from './rigs/restic.ts';
import { copyOf, copyTo, failureOf, manifestOf, setOf, siteOf } from './support.ts';

conformance({
  name: 'a repository of restic',
  missing: noRestic,
  knowsItsRoom: false,
  make: async (cleanup) => (await makeRepository(cleanup)).spec,
});

const suite = noRestic === null ? describe : describe.skip;
const mib = 1024 * 1024;

suite('a repository of restic that is not as expected', () => {
  const cleanup = createCleanup();
  const set = setOf('2026-11-20T190000Z-0a1b2c3d');
  let repository: Repository;
  beforeAll(async () => {
    repository = await makeRepository(cleanup);
  });
  afterAll(cleanup.run);

  const open = (changes: Partial<ResticStore> = {}) =>
    openStore(siteOf({ ...repository.spec, ...changes }), 'mongo-1', 'vault');
  const impatient = () => createResticStore('vault', repository.spec, 'mongo-1', 500);
  const seal = async (file: string, content: string): Promise<void> => {
    const part = await open().create(set, file, 'one');
    await part.write(Buffer.from(content));
    await part.seal();
  };
  const snapshots = async (): Promise<readonly { readonly id: string; readonly tags?: string[] }[]> =>
    JSON.parse(await repository.restic(['snapshots', '--json'])) as { id: string }[];
  /** Its id. */
  const somebodyElses = async (args: readonly string[]): Promise<string> => {
    const before = (await snapshots()).map(({ id }) => id);
    await repository.restic(
      ['backup', '--stdin', '--stdin-filename', '/vitam/nightly/x/y', ...args],
      'theirs',
    );
    return (await snapshots()).map(({ id }) => id).find((id) => !before.includes(id)) ?? 'none';
  };
  /** Stands still with the lock. */
  const holdExclusively = async () => {
    const before = (await locks()).length;
    const holder = startProcess(['restic', '--no-cache', 'prune'], { env: repository.environment });
    await waitFor(async () => (await locks()).length > before, { what: 'its lock', withinMs: 20_000 });
    process.kill(holder.pid, 'SIGSTOP');
    return holder;
  };
  /** Not those that are just being written. */
  const locks = async (): Promise<readonly string[]> =>
    (await readdir(join(repository.spec.repository, 'locks'))).filter((name) => /^[0-9a-f]{64}$/.test(name));
  const usedBytes = async (): Promise<number> =>
    Number.parseInt((await runCommand(['du', '-sb', repository.spec.repository])).stdout, 10);

  test('a wrong password and a repository that is not there are told, and not tried again', async () => {
    const other = join(repository.folder, 'other-password');
    await writeFile(other, 'not-this-one');
    const password = await failureOf(open({ password: { file: other } }).folders('vitam'));
    expect(password.message).toMatch(
      /^Store vault \(restic:\/.*\) on host mongo-1 could not list its sets: restic ended with exit code \d+: wrong password or no key found. Is password: that of this repository\?$/,
    );
    const gone = await failureOf(open({ repository: join(repository.folder, 'none') }).writeToken('x'));
    expect(gone.message).toContain('Is its disk mounted? coldbackup never makes a repository');
    const unreadable = await failureOf(open({ password: { file: '/does/not/exist' } }).writeToken('x'));
    expect(unreadable.message).toContain('The secret file: /does/not/exist cannot be read');
    expect([password, gone, unreadable].map(({ mayPass }) => mayPass)).toEqual([false, false, false]);
    expect(await readdir(repository.folder)).not.toContain('none');
  });

  test('without restic on the PATH it is said what is needed', async () => {
    const { PATH } = process.env;
    process.env['PATH'] = repository.folder;
    try {
      const error = await failureOf(open().writeToken('x'));
      expect(error.message).toMatch(
        /"restic" is not on PATH or not executable\. restic 0\.14 or later is needed/,
      );
      expect(error.mayPass).toBe(false);
    } finally {
      process.env['PATH'] = PATH;
    }
  });

  test('who has the repository for himself is waited for a little, who has died with it is not', async () => {
    const holder = await holdExclusively();
    try {
      const error = await failureOf(impatient().writeToken('x'));
      expect(error.message).toMatch(/already locked exclusively by PID \d+.*restic unlock/);
      expect(error.mayPass).toBe(true);
      expect(await open().folders('vitam')).toEqual([]);
    } finally {
      process.kill(holder.pid, 'SIGKILL');
      await holder.done;
    }
    expect(await locks()).toHaveLength(1);
    await impatient().writeToken('x');
    expect(await locks()).toEqual([]);
    expect(await open().hasToken('x')).toBe(true);
    await open().removeToken('x');
  });

  test('what restic makes of a file whose writer has died counts for nothing', async () => {
    const files = [join(repository.folder, 'site.json'), join(repository.folder, 'set.json')];
    await writeFile(files[0] ?? '', JSON.stringify(siteOf(repository.spec)));
    const log = join(repository.folder, 'writer');
    const program = fileURLToPath(new URL('begin-part.mjs', import.meta.url));
    const writer = await cleanup.start(
      [
        ...[process.execPath, program, files[0] ?? '', JSON.stringify(set), 'db/half', 'mine'],
        String(9 * mib),
      ],
      { logFile: log },
    );
    await waitFor(async () => (await readFile(log, 'utf8')).includes('written'), {
      what: 'the writer',
      withinMs: 60_000,
      unless: () => (writer.exit() === undefined ? undefined : writer.output()),
    });
    writer.kill('SIGKILL');
    await writer.exited;
    await waitFor(async () => (await snapshots()).some(({ tags }) => tags?.includes('content')), {
      what: 'the snapshot of half a file',
      withinMs: 20_000,
    });
    expect(await open().sizeBytes(set, 'db/half')).toBeNull();
    expect(await open().folders('vitam')).toEqual([set]);
    await seal('db/half', 'whole');
    expect(await open().readText(set, 'db/half')).toBe('whole');
    await open().clearParts(set);
    expect(await open().readText(set, 'db/half')).toBe('whole');
    await open().remove(set);
    expect(await open().folders('vitam')).toEqual([]);
  });

  test('a restic that is killed in the middle fails the part, which may be tried again', async () => {
    const part = await open().create(set, 'db/killed', 'one');
    await part.write(randomBytes(2 * mib));
    for (const pid of await childrenNamed('restic')) process.kill(pid, 'SIGKILL');
    const error = await failureOf(
      (async () => {
        for (;;) await part.write(Buffer.alloc(mib));
      })(),
    );
    expect(error.message).toMatch(/could not write .*db\/killed: restic ended with exit code 137/);
    expect(error.mayPass).toBe(true);
    await part.discard();
    expect(await open().sizeBytes(set, 'db/killed')).toBeNull();
    await seal('db/killed', 'whole');
    expect(await open().readText(set, 'db/killed')).toBe('whole');
    await open().remove(set);
  });

  test('content that was there already takes next to no room, and its room comes back when all of it is gone', async () => {
    const tree = join(repository.folder, 'tree');
    await mkdir(tree);
    for (let i = 0; i < 24; i += 1) await writeFile(join(tree, `random-${i}`), randomBytes(2 * mib));
    const site = siteOf(repository.spec);
    const where = { site: site.site, store: 'vault' };
    const stores = createStoreActivities({ site, host: 'mongo-1' });
    const publish = async (id: string): Promise<number> => {
      const before = await usedBytes();
      const one = setOf(id);
      const manifest = manifestOf(one, [await copyTo(site, 'mongo-1', one, 'offer/tree.tar.zst', tree)]);
      await stores.publishSet({ ...where, manifest });
      return (await usedBytes()) - before;
    };
    const ids = ['2026-10-01T190000Z-0a1b2c3d', '2026-10-02T190000Z-0a1b2c3d'];
    const first = await publish(ids[0] ?? '');
    await writeFile(join(tree, 'random-11'), randomBytes(2 * mib));
    const second = await publish(ids[1] ?? '');
    expect(first).toBeGreaterThan(48 * mib);
    expect(second).toBeLessThan(first / 2);

    const theirs = [
      await somebodyElses(['--tag', 'nightly']),
      await somebodyElses(['--tag', 'coldbackup', '--host', 'coldbackup']),
    ];
    expect((await stores.listSets(where)).map((each) => each.set.id)).toEqual(ids);
    for (const id of ids) await open().remove(setOf(id));
    const before = (await locks()).length;
    const busy = startProcess(['restic', '--no-cache', 'backup', '--stdin'], {
      ...{ stdin: 'pipe', env: repository.environment },
    });
    // The restic that was killed has left one.
    await waitFor(async () => (await locks()).length > before, { what: 'their lock', withinMs: 20_000 });
    const left = await failureOf(impatient().tidy?.() ?? Promise.resolve());
    expect(left.message).toMatch(
      /could not give back all room of what was removed: .*already locked by PID.* the next prune tries again/,
    );
    expect(await stores.listSets(where)).toEqual([]);
    busy.stdin?.end('theirs');
    expect((await busy.done).exitCode).toBe(0);
    expect(await usedBytes()).toBeGreaterThan(first);
    await open().tidy?.();
    expect(await usedBytes()).toBeLessThan(first / 10);
    const kept = await snapshots();
    for (const id of theirs) expect(kept.map((each) => each.id)).toContain(id);
    expect(kept).toHaveLength(theirs.length + 1);
  });

  test('damage in the repository is found, and mended once restic knows of it, not before', async () => {
    const other = await makeRepository(cleanup);
    const tree = join(other.folder, 'tree');
    await mkdir(tree);
    await writeFile(join(tree, 'random'), randomBytes(3 * mib));
    const disk = { kind: 'directory', directory: tree, shared: true, keeper: 'mongo-1' } as const;
    const site: Site = {
      ...siteOf(other.spec),
      stores: { vault: other.spec, disk: { ...disk, directory: await cleanup.folder() } },
    };
    const { artifacts } = await copyToStores(
      copyOf(site, 'mongo-1', set, 'offer/tree.tar.zst', tree),
      [...['vault', 'disk']],
      'all',
    );
    const [here, there] = artifacts.map((artifact) => manifestOf(set, [artifact]));
    if (here === undefined || there === undefined) throw new Error('not in both');
    const damaged = await flipInLargest(join(other.spec.repository, 'data'));
    const vault = openStore(site, 'mongo-1', 'vault');
    const hooks = { signal: new AbortController().signal, onProgress: () => undefined };
    const { problems } = await verifySet(vault, here, hooks);
    expect(problems).toContainEqual(
      expect.stringMatching(/could not read .*tree\.tar\.zst: .*Its repository is damaged: restic check/),
    );
    const source = { store: openStore(site, 'mongo-1', 'disk'), manifest: there };
    expect(await mendSet(vault, here, [source], hooks)).toEqual(['SHA256SUMS from the manifest']);
    // As its manual says.
    await rm(damaged);
    await other.restic(['rebuild-index']);
    expect((await verifySet(vault, here, hooks)).problems).not.toEqual([]);
    expect(await mendSet(vault, here, [source], hooks)).toEqual(['offer/tree.tar.zst from disk']);
    expect((await verifySet(vault, here, hooks)).problems).toEqual([]);
  });
});

/** Its path. */
async function flipInLargest(folder: string): Promise<string> {
  const files = await readdir(folder, { recursive: true, withFileTypes: true });
  const packs = await Promise.all(
    files
      .filter((file) => file.isFile())
      .map(async ({ parentPath, name }) => {
        const path = join(parentPath, name);
        return { path, bytes: await readFile(path) };
      }),
  );
  const [largest] = packs.sort((one, other) => other.bytes.length - one.bytes.length);
  if (largest === undefined) throw new Error(`${folder} is empty`);
  const middle = Math.floor(largest.bytes.length / 2);
  largest.bytes[middle] = (largest.bytes[middle] ?? 0) ^ 1;
  await chmod(largest.path, 0o600);
  await writeFile(largest.path, largest.bytes);
  return largest.path;
}

/** Of this process. */
async function childrenNamed(name: string): Promise<readonly number[]> {
  const children = await readFile(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8');
  const pids = children.trim().split(' ').map(Number);
  const named = await Promise.all(
    pids.map(async (pid) => (await readFile(`/proc/${pid}/comm`, 'utf8')).trim() === name),
  );
  return pids.filter((_, index) => named[index]);
}
