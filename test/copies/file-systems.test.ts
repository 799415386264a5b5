import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statfsSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { openJournal } from '../../activities/ledger/journal.ts';
import { copyTree } from '../../activities/archive/copy-tree.ts';
import { chooseCopy } from '../../activities/copies/choose.ts';
import { copiedData, copyPlace, rootIn, type CopyPlace } from '../../activities/copies/place.ts';
import { removeCopy } from '../../activities/copies/remove.ts';
import { snapshotData } from '../../activities/copies/snapshot.ts';
import { copyExcludes } from '../../activities/mongodb/cold.ts';
import { createPreflightActivities } from '../../activities/preflight/preflight.ts';
import { createDirectoryStore } from '../../activities/stores/directory.ts';
import { runCommand } from '../../activities/system/command.ts';
import { createRooms, freeBytesIn } from '../../activities/system/rooms.ts';
import { cannotMount, mountFileSystem } from '../../demo/local/file-system.ts';
import { parseSite } from '../../config/load.ts';
import { resolvePlan } from '../../config/plan.ts';
import { DEFAULT_LIMITS } from '../../config/schema/limits.ts';
import type { Check } from '../../model/progress.ts';
import type { CopyWay, Database, FilesEngine, MongodbMember, Site } from '../../model/site.ts';
import { createCleanup, waitFor } from '../support/processes.ts';

const database = 'db';
const member = 'here:27017';
const host = 'here';
const mebibyte = 1024 * 1024;
const reason = cannotMount();
if (reason !== null) console.warn(`copies on xfs and btrfs are not tested: ${reason}`);

(reason === null ? describe : describe.skip)('copies on real file systems', () => {
  const cleanup = createCleanup();
  const mounted = { xfs: '', btrfs: '', ext4: '' };
  beforeAll(async () => {
    mounted.xfs = await mountFileSystem(cleanup, 'xfs');
    mounted.btrfs = await mountFileSystem(cleanup, 'btrfs');
    mounted.ext4 = await mountFileSystem(cleanup, 'ext4', { sizeMb: 128 });
  });
  afterAll(cleanup.run);

  const subvolume = async (name: string): Promise<string> => {
    const data = join(mounted.btrfs, name);
    await runCommand(['btrfs', 'subvolume', 'create', data]);
    return data;
  };

  const cases: readonly [CopyWay, string, () => Promise<string>][] = [
    ['reflink', 'xfs', async () => join(mounted.xfs, 'whole')],
    ['reflink', 'btrfs', async () => join(mounted.btrfs, 'whole')],
    ['btrfs', 'btrfs', () => subvolume('volume')],
    ['copy', 'ext4', async () => join(mounted.ext4, 'whole')],
  ];
  test.each(cases)(
    '%s on %s: the copy is the data, archived under its names, and removed',
    async (by, _, where) => {
      const data = dataIn(await where());
      const site = siteOf({ data });
      const place = copyPlace(copiedData(site, { database, member }), by, 'this change');
      await snapshotData(site, { database, member }, place, hooks());
      await runCommand(['diff', '--recursive', '--no-dereference', data, rootIn(place, data)]);
      // What comes later is not in the copy.
      const before = await archived(data, [data]);
      writeFileSync(join(data, 'collection.wt'), 'changed after the copy');
      const after = await archived(data, [data], place.path);
      expect(after).toEqual(before);
      expect(after.list).toContain(`${data.slice(1)}/collection.wt`);
      expect(after.leftOut).toEqual([`${data}/diagnostic.data`]);
      await removeCopy(place);
      await removeCopy(place);
      expect(leftBeside(data)).toEqual([]);
    },
  );

  test('a clone and a snapshot take no room of their own', async () => {
    for (const [by, folder, data] of [
      ['reflink', mounted.xfs, join(mounted.xfs, 'large')],
      ['btrfs', mounted.btrfs, await subvolume('large')],
    ] as const) {
      dataIn(data, 100 * mebibyte);
      await runCommand(['sync', '--file-system', folder]);
      const freeBytes = freeIn(folder);
      const { place } = await made(data, by);
      await runCommand(['sync', '--file-system', folder]);
      expect(freeBytes - freeIn(folder)).toBeLessThan(10 * mebibyte);
      await removeCopy(place);
    }
  });

  test('what a copy that was cut short has left is removed, and its place can be used again', async () => {
    const data = dataIn(join(mounted.ext4, 'cut'), 40 * mebibyte);
    const site = siteOf({ data });
    const place = copyPlace(copiedData(site, { database, member }), 'copy', 'cut short');
    const cut = new AbortController();
    const making = snapshotData(site, { database, member }, place, { ...hooks(), signal: cut.signal });
    making.catch(() => undefined);
    await waitFor(() => existsSync(rootIn(place, data)), { what: 'the copy to begin', withinMs: 10_000 });
    cut.abort(new Error('taken over'));
    await expect(making).rejects.toThrow('taken over');
    await snapshotData(site, { database, member }, place, hooks());
    await runCommand(['diff', '--recursive', '--no-dereference', data, rootIn(place, data)]);
    await removeCopy(place);
    expect(leftBeside(data)).toEqual([]);
  });

  test('a copy for which there is no room fails at once, for good, and says where', async () => {
    const data = dataIn(join(mounted.ext4, 'too-large'), 70 * mebibyte);
    const site = siteOf({ data });
    const place = copyPlace(copiedData(site, { database, member }), 'copy', 'no room');
    const failure = snapshotData(site, { database, member }, place, hooks());
    await expect(failure).rejects.toMatchObject({
      nonRetryable: true,
      message: expect.stringMatching(/too-large.*No space left on device/s),
    });
    await removeCopy(place);
    await runCommand(['rm', '-r', data]);
  });

  test('a file that changes meanwhile makes it fail: the data was not at rest', async () => {
    const data = dataIn(join(mounted.xfs, 'busy'));
    const site = siteOf({ data });
    const place = copyPlace(copiedData(site, { database, member }), 'reflink', 'busy');
    const touch = () => utimesSync(join(data, 'collection.wt'), new Date(), new Date());
    let processes = 0;
    const failure = snapshotData(site, { database, member }, place, {
      ...hooks(),
      onProcess: () => {
        processes += 1;
        if (processes === 2) touch();
      },
    });
    await expect(failure).rejects.toThrow(/was not at rest/);
    await removeCopy(place);
  });

  test('only what has the name of a copy is ever removed', async () => {
    const data = dataIn(join(mounted.xfs, 'precious'));
    await expect(removeCopy({ by: 'reflink', path: data, roots: [data] })).rejects.toThrow(
      'not the name of a copy',
    );
    await expect(
      removeCopy({ by: 'reflink', path: `${data}/../precious.coldbackup-0123456789ab`, roots: [data] }),
    ).rejects.toThrow('not the name of a copy');
    expect(existsSync(join(data, 'collection.wt'))).toBe(true);
  });

  describe('auto', () => {
    test('takes a snapshot of a subvolume, and leaves no trace of the try', async () => {
      const data = dataIn(await subvolume('auto'));
      const { way, checks } = await choose({ data });
      expect(way).toBe('btrfs');
      expect(checks).toMatchObject([{ verdict: 'go', detail: expect.stringContaining('auto: btrfs') }]);
      expect(leftBeside(data)).toEqual([]);
    });

    test('clones files where data is no subvolume, and says why it takes no snapshot', async () => {
      const data = dataIn(join(mounted.xfs, 'auto'));
      const { way, checks } = await choose({ data });
      expect(way).toBe('reflink');
      expect(checks).toMatchObject([
        {
          verdict: 'go',
          detail: expect.stringMatching(/^auto: reflink.*not btrfs: .* is no subvolume of btrfs/),
        },
      ]);
      expect(leftBeside(data)).toEqual([]);
    });

    test('copies plainly only to a folder that is named, and only where there is room', async () => {
      const data = dataIn(join(mounted.ext4, 'auto'));
      const copies = join(mounted.xfs, 'copies');
      mkdirSync(copies);
      expect(await choose({ data, copies })).toMatchObject({ way: 'copy' });
      const large = await choose({ data, copies }, { dataBytes: 2_000 * mebibyte });
      expect(large.way).toBe('stream');
      expect(large.checks[0]?.detail).toMatch(/not copy: .* free in .*copies, and the data has 2.1 GB/);
      const unnamed = await choose({ data });
      expect(unnamed.way).toBe('stream');
      expect(unnamed.checks[0]?.detail).toMatch(
        /^auto: stream.*not btrfs: .*; not reflink: .*Operation not supported.*; not copy: no folder is named/s,
      );
      expect([...leftBeside(data), ...readdirSync(copies)]).toEqual([]);
    });

    test('a folder on another file system than the data has no clones', async () => {
      const data = dataIn(join(mounted.xfs, 'across'));
      const { way, checks } = await choose({ data, copies: mounted.btrfs }, { asked: 'reflink' });
      expect(way).toBe('reflink');
      expect(checks[0]).toMatchObject({ verdict: 'no-go', detail: expect.stringContaining('cross-device') });
    });
  });

  test.each(['reflink', 'btrfs'] as const)('%s on ext4 is a no-go with its reason', async (asked) => {
    const data = dataIn(join(mounted.ext4, `asked-${asked}`));
    const { checks } = await choose({ data }, { asked });
    expect(checks).toMatchObject([
      {
        verdict: 'no-go',
        detail: expect.stringMatching(
          asked === 'btrfs' ? 'no subvolume of btrfs' : 'Operation not supported',
        ),
        hint: expect.stringContaining('copy-by: auto'),
      },
    ]);
    expect(leftBeside(data)).toEqual([]);
  });

  test('a copy that no journal knows is told', async () => {
    const data = dataIn(join(mounted.xfs, 'left'));
    const { place } = await made(data, 'reflink');
    expect((await choose({ data }, { known: [place.path] })).checks).toHaveLength(1);
    const { checks } = await choose({ data });
    expect(checks[1]).toMatchObject({ verdict: 'warning', detail: expect.stringContaining(place.path) });
    await removeCopy(place);
  });

  test.each(['reflink', 'btrfs'] as const)(
    'a try by %s that an agent left when it died is cleared by the next one, and is no warning',
    async (asked) => {
      const data = dataIn(asked === 'btrfs' ? await subvolume('died') : join(mounted.xfs, 'died'));
      const bin = await cleanup.folder();
      const tool = asked === 'btrfs' ? 'btrfs' : 'cp';
      const dying = `#!/bin/sh\nPATH=\${PATH#*:}\n${tool} "$@"\nkill -KILL $PPID\n`;
      writeFileSync(join(bin, tool), dying, { mode: 0o755 });
      const died = runCommand(
        [
          ...[process.execPath, 'test/copies/choose-once.mjs', JSON.stringify(siteOf({ data })), host],
          JSON.stringify({ database, member, asked }),
        ],
        { timeoutMs: 30_000, env: { PATH: `${bin}:${process.env['PATH'] ?? ''}` } },
      );
      await expect(died).rejects.toMatchObject({ signal: 'SIGKILL', timedOut: false });
      expect(leftBeside(data)).toEqual([expect.stringContaining('.coldbackup-try-')]);
      expect((await choose({ data }, { asked })).checks).toMatchObject([{ verdict: 'go' }]);
      expect(leftBeside(data)).toEqual([]);
    },
  );

  describe('of what one file system gets in a night', () => {
    const here = (name: string): string => join(mounted.ext4, name);
    beforeAll(() => {
      for (const name of ['copies', 'vault', 'other']) mkdirSync(here(name));
    });

    test('plain copies are added up: one that was asked for is a no-go that names the others, auto takes none', async () => {
      const rows = await preflight({ one: [0.5, 'copy'], two: [0.5, 'copy'], three: [0.3, 'auto'] });
      expect(rows('copy-by')).toMatchObject([
        { subject: 'one copy-by', verdict: 'go' },
        {
          subject: 'two copy-by',
          verdict: 'no-go',
          detail: expect.stringMatching(beside('the copy of one')),
        },
        { subject: 'three copy-by', verdict: 'go', detail: expect.stringMatching(/^auto: copy/) },
      ]);
      const less = await preflight({ one: [0.8, 'copy'], three: [0.3, 'auto'] });
      expect(less('copy-by')[1]).toMatchObject({
        detail: expect.stringMatching(/^auto: stream.*less up to [\d.]+ MB for the copy of one/s),
      });
    });

    test('a store has what is left beside the copies that were asked for, and before those of auto', async () => {
      const asked = await preflight({ one: [0.8, 'copy'] }, ['vault']);
      expect(asked('store')).toMatchObject([
        {
          verdict: 'no-go',
          detail: expect.stringMatching(/ free in .*vault, less up to .* for the copy of one; /),
        },
      ]);
      const auto = await preflight({ one: [0.8, 'auto'] }, ['vault']);
      expect(auto('store')).toMatchObject([{ verdict: 'go' }]);
      expect(auto('copy-by')[0]?.detail).toMatch(beside('store vault'));
    });

    test('two stores are added up too', async () => {
      const rows = await preflight({ one: [0.9, 'reflink'] }, ['vault', 'other']);
      expect(rows('store')).toMatchObject([
        { subject: 'store other', verdict: 'go' },
        { verdict: 'warning', detail: expect.stringMatching(/vault, less up to .* for store other; /) },
      ]);
    });

    test('of the members of one set the largest counts alone, and nothing of another file system', async () => {
      const rooms = createRooms();
      const promise = (who: string, folder: string, mostBytes: number, oneOf?: string) =>
        rooms.promise({ who, folder, leastBytes: 0, mostBytes, ...(oneOf !== undefined && { oneOf }) });
      await promise('a', here('copies'), 5, 'rs');
      await promise('b', here('other'), 7, 'rs');
      await promise('c', here('copies'), 1);
      await promise('d', mounted.xfs, 100);
      expect(await rooms.taken(here('vault'))).toEqual({ leastBytes: 0, mostBytes: 8, by: ['a', 'b', 'c'] });
      expect(await rooms.taken(here('copies'), { oneOf: 'rs' })).toMatchObject({ mostBytes: 1, by: ['c'] });
    });

    test('subvolumes of btrfs share what is free, and each has its own quota', async () => {
      const [one, two] = [await subvolume('quota-one'), await subvolume('quota-two')];
      await runCommand(['btrfs', 'quota', 'enable', mounted.btrfs]);
      await runCommand(['btrfs', 'qgroup', 'limit', '50M', one]);
      expect(await freeBytesIn(one)).toBeLessThanOrEqual(50 * mebibyte);
      expect(await freeBytesIn(two)).toBeGreaterThan(100 * mebibyte);
      const data = dataIn(join(mounted.ext4, 'limited'));
      const limited = await choose({ data, copies: one }, { dataBytes: 60 * mebibyte });
      expect(limited.checks[0]?.detail).toMatch(/not copy: 5\d\.\d MB free in .*quota-one/);
      const rooms = createRooms();
      await rooms.promise({ who: 'a', folder: two, leastBytes: mebibyte, mostBytes: 1_024 * mebibyte });
      const { leastBytes, mostBytes } = await rooms.taken(one);
      expect(leastBytes).toBe(0);
      expect(mostBytes).toBeGreaterThan(50 * mebibyte);
    });

    function beside(who: string): RegExp {
      return new RegExp(
        `copy: [\\d.]+ MB free in .*copies, less up to [\\d.]+ MB for ${who}, and the data has`,
      );
    }

    /** Rows of a night with trees of these parts of what is free; a sparse file takes no room to say so. */
    async function preflight(
      trees: Readonly<Record<string, readonly [part: number, copyBy: CopyWay | 'auto']>>,
      to: readonly string[] = ['elsewhere'],
    ): Promise<(of: string) => readonly Check[]> {
      const freeBytes = await freeBytesIn(mounted.ext4);
      const folder = await cleanup.folder();
      mkdirSync(join(folder, 'store'));
      const databases = Object.entries(trees).map(([name, [part, copyBy]]): [string, object] => {
        const root = dataIn(join(folder, 'data', name), mebibyte / 4);
        writeFileSync(join(root, 'large'), '');
        truncateSync(join(root, 'large'), Math.round(part * freeBytes));
        const files = { host, roots: [root], copies: here('copies'), 'copy-by': copyBy };
        return [name, { 'used-by': [], files }];
      });
      const stores = to.map((name): [string, object] => {
        const directory = name === 'elsewhere' ? join(folder, 'store') : here(name);
        return [name, { directory, shared: false, keeper: host }];
      });
      const steps = [{ backup: { databases: Object.keys(trees), method: 'cold', to } }];
      const text = {
        ...{ site: 'test', timezone: 'UTC', hosts: [host], databases: Object.fromEntries(databases) },
        ...{ stores: Object.fromEntries(stores), procedures: { nightly: { 'up-by': '08:30', steps } } },
      };
      const parsed = parseSite(JSON.stringify(text), 'test.yaml');
      if ('problems' in parsed) throw new Error(JSON.stringify(parsed.problems));
      const loaded = { ...parsed, file: 'test.yaml' };
      const plan = resolvePlan(loaded, { procedure: 'nightly', startedAt: new Date().toISOString() });
      const journal = openJournal(join(folder, 'journal'));
      const activities = createPreflightActivities({
        ...{ site: parsed.site, siteDigest: parsed.digest, host, journal, version: 'test' },
        signal: () => hooks().signal,
      });
      const { checks } = await activities.preflight({ host, plan, workflowId: 'w' });
      journal.release();
      return (of) => checks.filter(({ subject }) => ` ${subject} `.includes(` ${of} `));
    }
  });

  test('a tree of files is copied with all its roots, one of them a file, and without what its archive leaves out', async () => {
    const roots = [dataIn(join(mounted.xfs, 'tree')), join(mounted.xfs, 'settings.conf')] as const;
    writeFileSync(roots[1], 'a = 1');
    const site = filesSite({ roots, exclude: ['tmp/*'] });
    const place = copyPlace(copiedData(site, { database }), 'reflink', 'a tree');
    const chosen = await chooseCopy(
      ...([site, host, { database, asked: 'reflink' }] as const),
      ...([{ dataBytes: 1, known: [], rooms: createRooms() }] as const),
    );
    expect(chosen.checks).toMatchObject([{ verdict: 'go', subject: 'db copy-by' }]);
    await snapshotData(site, { database }, place, hooks());
    const before = await archived(roots[0], roots);
    for (const root of [join(roots[0], 'collection.wt'), roots[1]]) writeFileSync(root, 'changed');
    expect(await archived(roots[0], roots, place.path)).toEqual(before);
    await removeCopy(place);
    expect(leftBeside(roots[0])).toEqual([]);
  });

  test('snapshots of several subvolumes are one copy, which the same call removes', async () => {
    const roots = [dataIn(await subvolume('one')), dataIn(await subvolume('two'))] as const;
    const site = filesSite({ roots, exclude: [] });
    const place = copyPlace(copiedData(site, { database }), 'btrfs', 'two volumes');
    await snapshotData(site, { database }, place, hooks());
    for (const root of roots)
      await runCommand(['diff', '--recursive', '--no-dereference', root, rootIn(place, root)]);
    await removeCopy(place);
    expect(leftBeside(roots[0])).toEqual([]);
  });

  async function made(data: string, by: CopyWay): Promise<{ place: CopyPlace }> {
    const site = siteOf({ data });
    const place = copyPlace(copiedData(site, { database, member }), by, `of ${data}`);
    await snapshotData(site, { database, member }, place, hooks());
    return { place };
  }

  function choose(
    one: Pick<MongodbMember, 'data' | 'copies'>,
    {
      asked = 'auto',
      dataBytes = mebibyte,
      known = [],
    }: { asked?: CopyWay | 'auto'; dataBytes?: number; known?: readonly string[] } = {},
  ) {
    const options = { dataBytes, known, rooms: createRooms() };
    return chooseCopy(siteOf(one), host, { database, member, asked }, options);
  }

  async function archived(data: string, roots: readonly string[], at?: string) {
    const store = createDirectoryStore(
      'test',
      { kind: 'directory', directory: await cleanup.folder(), shared: false, keeper: host },
      host,
    );
    const set = { site: 'test', procedure: 'test', id: 'one' };
    const { copied } = await copyTree(
      {
        ...{
          host,
          roots,
          exclude: copyExcludes(),
          stores: [store],
          set,
          artifact: 'a.tar.zst',
          owner: '1-test',
        },
        ...(at !== undefined && { at }),
      },
      { ...hooks(), onProgress: () => undefined },
    );
    const list = readFileSync(join(store.place, 'test/test/one/a.tar.zst.files'), 'utf8');
    expect(data).not.toBe('');
    return { sha256: copied[0]?.sha256, leftOut: copied[0]?.leftOut, list };
  }
});

/** As a mongod leaves it that has exited cleanly, with all that a copy could lose. */
function dataIn(data: string, sizeBytes = 300_000): string {
  mkdirSync(join(data, 'journal'), { recursive: true });
  for (const name of ['WiredTiger', 'WiredTiger.turtle', 'WiredTiger.wt', 'storage.bson', '_mdb_catalog.wt'])
    writeFileSync(join(data, name), name);
  writeFileSync(join(data, 'mongod.lock'), '');
  mkdirSync(join(data, 'diagnostic.data'));
  writeFileSync(join(data, 'diagnostic.data', 'metrics'), 'left out');
  writeFileSync(join(data, 'collection.wt'), randomBytes(sizeBytes));
  linkSync(join(data, 'collection.wt'), join(data, 'same.wt'));
  symlinkSync(join(data, 'journal'), join(data, 'link'));
  writeFileSync(join(data, 'journal', 'other owner'), 'x');
  chownSync(join(data, 'journal', 'other owner'), 1234, 5678);
  chmodSync(join(data, 'journal', 'other owner'), 0o640);
  utimesSync(join(data, 'journal', 'other owner'), 1_000_000_000, 1_000_000_000.25);
  return data;
}

function siteOf(one: Pick<MongodbMember, 'data' | 'copies'>): Site {
  const members = { [member]: { host, service: 'mongod', uri: { env: 'NONE' }, ...one } };
  return siteWith({ kind: 'mongodb', members, allow: [] });
}

function filesSite(one: Pick<FilesEngine, 'roots' | 'exclude'>): Site {
  return siteWith({ kind: 'files', host, ...one });
}

function siteWith(engine: Database['engine']): Site {
  return {
    ...{ site: 'test', timezone: 'UTC', hosts: [host], services: {}, jobs: {}, counts: {}, stores: {} },
    ...{ procedures: {}, limits: DEFAULT_LIMITS },
    databases: { [database]: { usedBy: [], engine } },
  };
}

function hooks() {
  return { signal: new AbortController().signal, onProcess: () => undefined };
}

function leftBeside(data: string): readonly string[] {
  return readdirSync(join(data, '..')).filter((name) =>
    name.startsWith(`${data.split('/').at(-1) ?? ''}.coldbackup`),
  );
}

function freeIn(folder: string): number {
  const { bfree, bsize } = statfsSync(folder);
  return bfree * bsize;
}
