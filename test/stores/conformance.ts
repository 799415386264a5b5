import { createHash, randomBytes } from 'node:crypto';
import { readFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createStoreActivities, openStore } from '../../activities/stores/activities.ts';
import { runCommand } from '../../activities/system/command.ts';
import type { Part, Store } from '../../activities/stores/store.ts';
import type { Manifest, SetRef } from '../../model/manifest.ts';
import type { Plan } from '../../model/plan.ts';
import type { Site, Store as StoreSpec } from '../../model/site.ts';
import { createCleanup, waitFor, type Cleanup } from '../support/processes.ts';
import { copyTo, manifestOf, setOf, siteOf } from './support.ts';

export interface Kind {
  readonly name: string;
  /** Why it cannot be had on this machine; null: it can. */
  readonly missing: string | null;
  /** A new, empty store named `vault`, as the site file has it. */
  readonly make: (cleanup: Cleanup) => Promise<StoreSpec>;
  readonly knowsItsRoom: boolean;
}

const mib = 1024 * 1024;

/** What every kind of store must do. */
export function conformance(kind: Kind): void {
  if (kind.missing !== null) console.warn(`stores on ${kind.name} are not tested: ${kind.missing}`);
  const suite = kind.missing === null ? describe : describe.skip;

  suite(`a store on ${kind.name}`, () => {
    const cleanup = createCleanup();
    let site: Site;
    let folder = '';
    let count = 0;
    beforeAll(async () => {
      folder = await cleanup.folder();
      site = siteOf(await kind.make(cleanup));
    });
    afterAll(cleanup.run);

    const open = (host = 'mongo-1'): Store => openStore(site, host, 'vault');
    /** Nobody else's. */
    const newSet = (): SetRef => {
      count += 1;
      return setOf(`2026-11-20T19${String(count).padStart(4, '0')}Z-0a1b2c3d`);
    };
    const seal = async (store: Store, set: SetRef, file: string, content: Buffer | string): Promise<void> => {
      const part = await store.create(set, file, 'writer');
      await part.write(Buffer.from(content));
      await part.seal();
    };

    test.each([
      ['nothing', 0],
      ['a byte', 1],
      ['many pieces and parts', 37 * mib + 4_321],
    ])('gives back %s as it was written', async (_, sizeBytes) => {
      const set = newSet();
      const store = open();
      const content = randomBytes(sizeBytes);
      const part = await store.create(set, 'db/whole.tar.zst', 'writer');
      for (let from = 0; from < sizeBytes; from += 100_003)
        await part.write(content.subarray(from, from + 100_003));
      await part.seal();
      const other = open('mongo-2');
      expect(await other.sizeBytes(set, 'db/whole.tar.zst')).toBe(sizeBytes);
      expect(await digest(other.read(set, 'db/whole.tar.zst'))).toEqual([
        sizeBytes,
        createHash('sha256').update(content).digest('hex'),
      ]);
    });

    test('a part is no file until it is sealed, nor when it is discarded, even after that', async () => {
      const set = newSet();
      const store = open();
      const part = await store.create(set, 'db/file', 'one');
      await part.write(Buffer.alloc(20 * mib, 1));
      expect(await store.sizeBytes(set, 'db/file')).toBeNull();
      expect(await store.readText(set, 'db/file')).toBeNull();
      await part.discard();
      await expect(part.seal()).rejects.toThrow();
      expect(await store.sizeBytes(set, 'db/file')).toBeNull();
      const second = await store.create(set, 'db/file', 'two');
      await second.write(Buffer.from('x'));
      await second.seal();
      expect(await store.readText(set, 'db/file')).toBe('x');
      await second.discard();
      expect(await store.sizeBytes(set, 'db/file')).toBeNull();
    });

    test('of two writers the first to seal wins; the other is told, and nothing is written over', async () => {
      const set = newSet();
      const writers = await Promise.all(
        ['one', 'two'].map(async (owner) => {
          const part = await open().create(set, 'db/file', owner);
          await part.write(Buffer.from(`of ${owner}`));
          return part;
        }),
      );
      const ends = await Promise.allSettled(writers.map((part) => part.seal()));
      expect(ends.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
      const winner = ends.findIndex(({ status }) => status === 'fulfilled');
      expect(String((ends[1 - winner] as PromiseRejectedResult).reason)).toMatch(/sealed already/);
      await writers[1 - winner]?.discard();
      expect(await open().readText(set, 'db/file')).toBe(`of ${['one', 'two'][winner]}`);
      const late = await open().create(set, 'db/file', 'three');
      await late.write(Buffer.from('late'));
      await expect(late.seal()).rejects.toThrow('It is sealed already; nothing was overwritten');
      await late.discard();
      expect(await open().readText(set, 'db/file')).toBe(`of ${['one', 'two'][winner]}`);
    });

    test('one file can be dropped, and sealed again', async () => {
      const set = newSet();
      await seal(open(), set, 'db/file', 'damaged');
      await seal(open(), set, 'db/other', 'other');
      await open('mongo-2').drop(set, 'db/file');
      expect(await open().sizeBytes(set, 'db/file')).toBeNull();
      await open().drop(set, 'db/file');
      await seal(open(), set, 'db/file', 'good');
      expect(await open('mongo-2').readText(set, 'db/file')).toBe('good');
      expect(await open().readText(set, 'db/other')).toBe('other');
    });

    test('a later part of the same owner ends the earlier one', async () => {
      const set = newSet();
      const [earlier, later] = await inTurn(
        () => open().create(set, 'db/file', '3-6/backup/db~1'),
        () => open().create(set, 'db/file', '3-6/backup/db~1'),
      );
      await earlier.write(Buffer.from('earlier')).catch(() => undefined);
      await later.write(Buffer.from('later'));
      await expect(earlier.seal()).rejects.toThrow();
      await later.seal();
      await earlier.discard().catch(() => undefined);
      expect(await open().readText(set, 'db/file')).toBe('later');
    });

    test("a writer that is killed leaves no file, stands in nobody's way, and goes with its set", async () => {
      const set = newSet();
      await writeFile(join(folder, 'site.json'), JSON.stringify(site));
      const log = join(folder, `killed-${set.id}`);
      const program = fileURLToPath(new URL('begin-part.mjs', import.meta.url));
      const child = await cleanup.start(
        [
          process.execPath,
          program,
          join(folder, 'site.json'),
          JSON.stringify(set),
          'db/file',
          'mine',
          String(33 * mib),
        ],
        { logFile: log },
      );
      await waitFor(async () => (await readFile(log, 'utf8')).includes('written'), {
        what: 'the writer',
        withinMs: 60_000,
        unless: () => (child.exit() === undefined ? undefined : child.output()),
      });
      child.kill('SIGKILL');
      await child.exited;
      const store = open();
      expect(await store.sizeBytes(set, 'db/file')).toBeNull();
      expect(await store.folders(set.site, set.procedure)).toContainEqual(set);
      const other = await store.create(set, 'db/file', 'other');
      await other.write(Buffer.from('of another'));
      const same = await store.create(set, 'db/second', 'mine');
      await same.write(Buffer.from('of the same'));
      await same.seal();
      await other.seal();
      expect(await store.readText(set, 'db/file')).toBe('of another');
      const slow = await store.create(set, 'db/deep/slow', 'slow');
      await slow.write(Buffer.from('x'));
      await store.clearParts(set);
      await expect(slow.seal()).rejects.toThrow();
      await slow.discard().catch(() => undefined);
      expect(await store.readText(set, 'db/second')).toBe('of the same');
      if (site.stores['vault']?.kind === 'directory') {
        const { stdout } = await runCommand(
          ['find', join(store.place, set.site, set.procedure, set.id), '-type', 'f', '-printf', '%P '],
          {},
        );
        expect(stdout.trim().split(' ').sort()).toEqual(['db/file', 'db/second']);
      }
      await store.clearParts({ ...set, id: 'none' });
      await store.remove(set);
      expect(await store.folders(set.site, set.procedure)).not.toContainEqual(set);
    });

    test('a text is replaced as a whole, and null where there is none', async () => {
      const set = newSet();
      expect(await open().readText(set, 'pin.json')).toBeNull();
      await open().replaceText(set, 'pin.json', 'the first, which is longer');
      await open('mongo-2').replaceText(set, 'pin.json', 'the second: é');
      expect(await open().readText(set, 'pin.json')).toBe('the second: é');
      await open().replaceText(set, 'pin.json', '');
      expect(await open().readText(set, 'pin.json')).toBe('');
    });

    test('sets are listed by site and procedure, published or not', async () => {
      const store = open();
      const of = (site: string, procedure: string, id: string): SetRef => ({ site, procedure, id });
      await seal(store, of('listed', 'nightly', 'b'), 'manifest.json', '{}');
      const underWay = await store.create(of('listed', 'nightly', 'a'), 'db/file', 'one');
      await seal(store, of('listed', 'weekly', 'c'), 'deep/down/file', 'x');
      expect(await store.folders('listed')).toEqual([
        of('listed', 'nightly', 'a'),
        of('listed', 'nightly', 'b'),
        of('listed', 'weekly', 'c'),
      ]);
      expect(await store.folders('listed', 'weekly')).toEqual([of('listed', 'weekly', 'c')]);
      expect(await store.folders('nobody')).toEqual([]);
      expect(await store.folders('list')).toEqual([]);
      await underWay.discard();
    });

    test('removing takes the whole set and what is under way in it, and no other', async () => {
      const [gone, stays] = [newSet(), newSet()];
      const store = open();
      await seal(store, gone, 'manifest.json', '{}');
      await seal(store, gone, 'db/file', 'x');
      await seal(store, stays, 'db/file', 'x');
      const underWay = await open().create(gone, 'db/other', 'slow');
      await underWay.write(Buffer.from('x'));
      await store.remove(gone);
      expect(await store.readText(gone, 'manifest.json')).toBeNull();
      expect(await store.sizeBytes(gone, 'db/file')).toBeNull();
      await expect(underWay.seal()).rejects.toThrow();
      await underWay.discard().catch(() => undefined);
      expect(await store.folders(gone.site, gone.procedure)).not.toContainEqual(gone);
      expect(await store.readText(stays, 'db/file')).toBe('x');
      await store.remove(gone);
    });

    test('says when something last changed in a set', async () => {
      const set = newSet();
      expect(await open().lastChangeMs(set)).toBeNull();
      await seal(open(), set, 'db/file', 'x');
      const agoMs = Date.now() - ((await open().lastChangeMs(set)) ?? 0);
      expect(agoMs).toBeGreaterThan(-5_000);
      expect(agoMs).toBeLessThan(60_000);
    });

    test('a token that one host writes is read by another, until it is removed', async () => {
      await open().writeToken('run-1');
      await open().writeToken('run-1');
      expect(await open('mongo-2').hasToken('run-1')).toBe(true);
      expect(await open('mongo-2').hasToken('run-2')).toBe(false);
      await open().removeToken('run-1');
      await open().removeToken('run-1');
      expect(await open('mongo-2').hasToken('run-1')).toBe(false);
    });

    test(
      kind.knowsItsRoom ? 'says how much room there is' : 'says that it cannot tell its room',
      async () => {
        const free = await open().freeBytes();
        if (kind.knowsItsRoom) expect(free).toBeGreaterThan(mib);
        else expect(free).toBeNull();
      },
    );

    test('no name leaves the store', async () => {
      const store = open();
      for (const file of ['../x', '/x', 'a//b', 'a/../b', ''])
        await expect(store.create(newSet(), file, 'one')).rejects.toThrow('cannot be a name in a store');
      await expect(store.folders('..')).rejects.toThrow('cannot be a name');
      await expect(store.readText({ ...newSet(), id: '../other' }, 'x')).rejects.toThrow('cannot be a name');
      await expect(store.writeToken('../../x')).rejects.toThrow('cannot be a name');
    });

    test('a reader may stop early, and what is missing is told', async () => {
      const set = newSet();
      await seal(open(), set, 'db/file', Buffer.alloc(9 * mib, 5));
      const store = open();
      for await (const chunk of store.read(set, 'db/file')) {
        expect(chunk.length).toBeGreaterThan(0);
        break;
      }
      expect((await digest(store.read(set, 'db/file')))[0]).toBe(9 * mib);
      await expect(digest(store.read(set, 'db/none'))).rejects.toThrow(/Store vault .* could not read/);
    });

    test('a set is copied, published, verified, pinned and pruned there', async () => {
      const tree = join(folder, 'tree');
      await mkdir(join(tree, 'sub'), { recursive: true });
      await writeFile(join(tree, 'text'), 'a line\n'.repeat(5_000));
      await writeFile(join(tree, 'sub', 'random'), randomBytes(3 * mib));
      const where = { site: site.site, store: 'vault' };
      const stores = createStoreActivities({ site, host: 'mongo-1' });
      const publish = async (id: string) => {
        const set = { ...setOf(id), procedure: 'whole' };
        const manifest = manifestOf(set, [await copyTo(site, 'mongo-1', set, 'offer/tree.tar.zst', tree)]);
        const left = await open().create(set, 'offer/tree.tar.zst', 'of an agent that was killed');
        await left.write(Buffer.from('half'));
        await stores.publishSet({ ...where, manifest });
        await expect(left.seal()).rejects.toThrow(/is gone|the upload is gone|no such file/i);
        await left.discard().catch(() => undefined);
        return manifest;
      };
      const first = await publish('2026-10-01T190000Z-0a1b2c3d');
      const second = await publish('2026-10-02T190000Z-0a1b2c3d');
      const listed = () => stores.listSets({ ...where, procedure: 'whole' });
      expect((await listed()).map(({ set }) => set)).toEqual([first.set, second.set]);
      expect(await stores.showSet({ ...where, set: first.set })).toEqual(first);
      const verified = await stores.verifySet({ ...where, set: second.set, manifest: second });
      expect(verified).toMatchObject({ problems: [], artifacts: 1 });
      expect(verified.checkedBytes).toBeGreaterThan(3 * mib);
      const wrong = {
        ...second,
        artifacts: second.artifacts.map((each) => ({ ...each, sha256: '0'.repeat(64) })),
      };
      expect(
        (await stores.verifySet({ ...where, set: second.set, manifest: wrong })).problems,
      ).toContainEqual(expect.stringContaining('was changed'));
      await open().replaceText(second.set, 'manifest.json', '{ torn');
      expect(await listed()).toContainEqual(
        expect.objectContaining({ set: second.set, publishedAt: '', unreadable: expect.any(String) }),
      );
      const other: StoreSpec = { kind: 'directory', directory: folder, shared: true, keeper: 'mongo-1' };
      const both = createStoreActivities({
        site: { ...site, stores: { ...site.stores, other } },
        host: 'mongo-1',
      });
      const inOther = second.artifacts.map((each) => ({ ...each, store: 'other' }));
      const mend = (manifest: Manifest) =>
        both.mendSet({ ...where, manifest: second, from: [{ store: 'other', manifest }] });
      expect(await mend({ ...second, artifacts: inOther })).toEqual(['manifest.json from other']);
      expect(await stores.showSet({ ...where, set: second.set })).toEqual(second);
      expect((await stores.verifySet({ ...where, set: second.set, manifest: second })).problems).toEqual([]);
      const plan = { site: 'vitam', procedure: 'whole', keep: { last: 1 } } as Plan;
      const prune = () => stores.pruneSets({ plan, store: 'vault', now: '2026-11-01T00:00:00.000Z' });
      await stores.pinSet({
        ...where,
        set: first.set,
        pin: { by: 'test', why: 'stays', at: '2026-11-01T00:00:00.000Z' },
      });
      expect(await prune()).toEqual([]);
      await stores.pinSet({ ...where, set: first.set, pin: null });
      const use = { what: 'drill', workflowId: 'w', runId: 'r' };
      const inUse = (until: string | null) =>
        stores.useSet({ ...where, set: first.set, use: { ...use, until } });
      await inUse('9999-11-01T00:00:00.000Z');
      expect(await prune()).toEqual([]);
      await inUse(null);
      const torn = { ...second.set, id: '2026-09-01T190000Z-0a1b2c3d' };
      await open().replaceText(torn, 'manifest.json', '{"format":1,');
      await expect(prune()).rejects.toThrow(`manifest.json of ${torn.id} cannot be read`);
      await open().remove(torn);
      expect(await prune()).toEqual([first.set]);
      expect((await listed()).map(({ set }) => set)).toEqual([second.set]);
    });
  });
}

async function digest(chunks: AsyncIterable<Buffer>): Promise<readonly [number, string]> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  for await (const chunk of chunks) {
    sizeBytes += chunk.length;
    hash.update(chunk);
  }
  return [sizeBytes, hash.digest('hex')];
}

async function inTurn(
  first: () => Promise<Part>,
  second: () => Promise<Part>,
): Promise<readonly [Part, Part]> {
  return [await first(), await second()];
}
