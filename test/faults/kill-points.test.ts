import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { copyToStores } from '../../activities/archive/copy-artifact.ts';
import { createStoreActivities, openStore } from '../../activities/stores/activities.ts';
import { readProofs, recordProof } from '../../activities/stores/proofs.ts';
import { pruneSets } from '../../activities/stores/prune.ts';
import { listSets, publishSet, showSet } from '../../activities/stores/sets.ts';
import { verifySet } from '../../activities/stores/verify.ts';
import { CommandError, runCommand } from '../../activities/system/command.ts';
import type { Manifest, Proof, SetRef } from '../../model/manifest.ts';
import type { Site, Store as StoreSpec } from '../../model/site.ts';
import { makeRepository, noRestic } from '../stores/rigs/restic.ts';
import { noMinio, startMinio } from '../stores/rigs/s3.ts';
import { noSshd, startSshd } from '../stores/rigs/sftp.ts';
import { copyOf, copyTo, manifestOf, setOf, siteOf } from '../stores/support.ts';
import { createCleanup, type Cleanup } from '../support/processes.ts';

type Act = 'prune' | 'upload' | 'proof' | 'mend';

interface Kind {
  readonly name: string;
  /** Why it cannot be had on this machine; null: it can. */
  readonly missing: string | null;
  readonly make: (
    cleanup: Cleanup,
  ) => Promise<{ readonly spec: StoreSpec; /** Where it lies on this machine. */ readonly root: string }>;
  /** Right before what it is killed: these system calls, or `change`, each request that changes something. */
  readonly at: Readonly<Record<Act, readonly string[]>>;
}

const onServers = { prune: ['change'], upload: ['change'], proof: ['change'], mend: ['change'] };
const strace = await runCommand(['strace', '-V']).catch(() => null);

const kinds: readonly Kind[] = [
  {
    name: 'a directory',
    missing: strace === null ? 'strace is not there' : null,
    make: async (cleanup) => {
      const root = await cleanup.folder();
      return { spec: { kind: 'directory', directory: root, shared: true, keeper: 'mongo-1' }, root };
    },
    at: {
      prune: ['unlink', 'rmdir', 'fsync'],
      upload: ['link', 'rename', 'unlink', 'fsync'],
      proof: ['rename', 'fsync'],
      mend: ['link', 'rename', 'unlink', 'fsync'],
    },
  },
  {
    name: 'an SFTP server',
    missing: noSshd,
    make: async (cleanup) => {
      const { spec } = await startSshd(cleanup);
      return { spec, root: spec.directory };
    },
    at: onServers,
  },
  {
    name: 'an S3 server',
    missing: noMinio,
    make: async (cleanup) => {
      const { spec, folder } = await startMinio(cleanup);
      return { spec, root: join(folder, 'data', spec.bucket) };
    },
    at: onServers,
  },
  {
    name: 'a repository of restic',
    missing: noRestic,
    make: async (cleanup) => {
      const { spec } = await makeRepository(cleanup);
      return { spec, root: spec.repository };
    },
    at: onServers,
  },
];

const host = 'mongo-1';
const dayMs = 24 * 3_600_000;
/** More than what restic takes at once. */
const randomSize = 1_500_000;
/** By then nothing that was left has changed for long. */
const laterMs = Date.now() + 2 * dayMs;
const hooks = { signal: new AbortController().signal, onProgress: () => undefined };

for (const { name, missing, make, at } of kinds) {
  if (missing !== null) console.warn(`kills at each change of ${name} are not tested: ${missing}`);

  (missing === null ? describe : describe.skip)(
    `an agent that is killed at any of its changes of a store on ${name}`,
    () => {
      const cleanup = createCleanup();
      let folder = '';
      let tree = '';
      let root = '';
      let site: Site;
      let run = 0;
      beforeAll(async () => {
        folder = await cleanup.folder();
        tree = join(folder, 'tree');
        for (const name of ['tree', 'other']) mkdirSync(join(folder, name));
        for (const file of ['one', 'two']) writeFileSync(join(tree, file), file.repeat(1_000));
        writeFileSync(join(tree, 'random'), randomBytes(randomSize));
        const made = await make(cleanup);
        root = made.root;
        const other: StoreSpec = {
          ...{ kind: 'directory', directory: join(folder, 'other'), shared: true, keeper: host },
        };
        site = { ...siteOf(made.spec), stores: { vault: made.spec, other } };
      });
      afterAll(cleanup.run);

      test('by retention leaves no half set that looks whole, and the next prune finishes: its room is back', async () => {
        const sets = [1, 2, 3].map((day) => setNamed('pruned', `2026-11-0${day}T190000Z-0a1b2c3d`));
        const newest = sets.slice(2);
        const plan = { site: 'vitam', procedure: 'pruned', keep: { last: 1 } };
        const input = { plan, store: 'vault', now: new Date(laterMs).toISOString() };
        for (const call of at.prune) {
          const there = (await wholeSets('pruned')).map(({ id }) => id);
          for (const set of sets) if (!there.includes(set.id)) await publish(set);
          const kills = await killedAtEach(call, 'prune', {
            inputOf: () => input,
            look: async () => expect(await wholeSets('pruned')).toEqual(expect.arrayContaining(newest)),
          });
          expect(kills).toBeGreaterThan(0);
          expect(await wholeSets('pruned')).toEqual(newest);
          expect(await open().folders('vitam', 'pruned')).toEqual(newest);
          const { stdout } = await runCommand(['find', root, '-type', 'f', '-printf', '%s\\n']);
          const bytes = stdout.trim().split('\n').map(Number);
          expect(bytes.reduce((sum, each) => sum + each)).toBeLessThan(1.5 * randomSize);
        }
      });

      test('by an upload leaves a whole set or none; what is left goes a day later, and the next set is made beside it', async () => {
        const before = setNamed('uploaded', '2026-11-01T190000Z-0a1b2c3d');
        await publish(before);
        let set = before;
        const whole = new Set([before.id]);
        const look = async () => {
          const ids = (await listed('uploaded')).map(({ id }) => id);
          expect(ids.filter((id) => id !== set.id)).toEqual([...whole]);
          if (!ids.includes(set.id)) return;
          await mustBeWhole(set);
          whole.add(set.id);
        };
        for (const call of at.upload) {
          const kills = await killedAtEach(call, 'upload', {
            inputOf: () => {
              set = setNamed('uploaded', `2026-11-20T19${String(run).padStart(4, '0')}Z-0a1b2c3d`);
              const copy = copyOf(site, host, set, 'offer/files.tar.zst', tree);
              const publish = { site: 'vitam', store: 'vault', manifest: manifestOf(set, []) };
              return { copy: { ...copy, site: null, hooks: null }, publish };
            },
            look,
          });
          expect(kills).toBeGreaterThan(0);
          await look();
          expect(whole).toContain(set.id);
        }
        await pruneSets(open(), { site: 'vitam', procedure: 'uploaded', keep: null }, laterMs);
        expect((await open().folders('vitam', 'uploaded')).map(({ id }) => id)).toEqual([...whole]);
        expect((await wholeSets('uploaded')).map(({ id }) => id)).toEqual([...whole]);
      });

      test('by a drill that writes its proof leaves the earlier proofs or all of them', async () => {
        const set = setNamed('proven', '2026-11-01T190000Z-0a1b2c3d');
        await publish(set);
        const runIds = async () => (await readProofs(open(), set)).map(({ runId }) => runId);
        const proofOf = (runId: string) => ({ runId, at: '2026-11-02T100000Z', passed: true }) as Proof;
        await recordProof(open(), set, proofOf('first'));
        for (const call of at.proof) {
          const proof = proofOf(call);
          const earlier = await runIds();
          const kills = await killedAtEach(call, 'proof', {
            inputOf: () => ({ set, proof }),
            look: async () => expect([earlier, [call, ...earlier]]).toContainEqual(await runIds()),
          });
          expect(kills).toBeGreaterThan(0);
          expect(await runIds()).toEqual([call, ...earlier]);
        }
      });

      test('by a mend leaves a set that is listed, and that the next mend makes whole; where the good copy lies nothing is touched', async () => {
        const set = setNamed('mended', '2026-11-01T190000Z-0a1b2c3d');
        const { artifacts } = await copyToStores(
          copyOf(site, host, set, 'offer/files.tar.zst', tree),
          ['vault', 'other'],
          'all',
        );
        const manifestIn = (store: string): Manifest =>
          manifestOf(
            set,
            artifacts.filter((artifact) => artifact.store === store),
          );
        for (const store of ['vault', 'other']) await publishSet(open(store), manifestIn(store));
        const input = {
          ...{ site: 'vitam', store: 'vault', manifest: manifestIn('vault') },
          from: [{ store: 'other', manifest: manifestIn('other') }],
        };
        const damage = async (): Promise<object> => {
          await open().replaceText(set, 'manifest.json', '{ torn');
          await open().drop(set, 'offer/files.tar.zst');
          const part = await open().create(set, 'offer/files.tar.zst', 'by hand');
          await part.write(Buffer.from('not what was written'));
          await part.seal();
          return input;
        };
        const isMended = async () => {
          expect(await listed('mended')).toEqual([set]);
          await createStoreActivities({ site, host }).mendSet(input);
          await mustBeWhole(set);
        };
        for (const call of at.mend) {
          const kills = await killedAtEach(call, 'mend', { inputOf: damage, look: isMended });
          expect(kills).toBeGreaterThan(0);
          await mustBeWhole(set);
          await mustBeWhole(set, 'other');
        }
      });

      function open(store = 'vault') {
        return openStore(site, host, store);
      }

      async function publish(set: SetRef): Promise<void> {
        // Kept once where content is kept once: each has its own.
        writeFileSync(join(tree, 'random'), randomBytes(randomSize));
        const artifact = await copyTo(site, host, set, 'offer/files.tar.zst', tree);
        await publishSet(open(), manifestOf(set, [artifact]));
      }

      async function listed(procedure: string): Promise<readonly SetRef[]> {
        return (await listSets(open(), 'vitam', procedure)).map(({ set }) => set);
      }

      /** Read, and every digest compared. */
      async function mustBeWhole(set: SetRef, store = 'vault'): Promise<void> {
        const { problems } = await verifySet(open(store), await showSet(open(store), set), hooks);
        expect([set.id, problems]).toEqual([set.id, []]);
      }

      async function wholeSets(procedure: string): Promise<readonly SetRef[]> {
        const sets = await listed(procedure);
        for (const set of sets) await mustBeWhole(set);
        return sets;
      }

      /** At its first such call, at its second, and so on until it is done; gives how often. */
      async function killedAtEach(
        call: string,
        act: Act,
        {
          inputOf,
          look,
        }: { readonly inputOf: () => object | Promise<object>; readonly look: () => Promise<unknown> },
      ): Promise<number> {
        for (let kills = 0; ; kills++) {
          if (!(await isKilled(call, act, await inputOf(), kills + 1))) return kills;
          await look();
        }
      }

      async function isKilled(call: string, act: Act, input: object, nth: number): Promise<boolean> {
        run += 1;
        const files = { site: join(folder, `site-${run}.json`), input: join(folder, `input-${run}.json`) };
        writeFileSync(files.site, JSON.stringify(site));
        writeFileSync(files.input, JSON.stringify(input));
        const once = [process.execPath, 'test/faults/store-once.mjs', files.site, host, act, files.input];
        const inject = `inject=${call}:signal=SIGKILL:when=${nth}`;
        const ended = await runCommand(
          call === 'change'
            ? [...once, String(nth)]
            : ['strace', '-f', '-qq', '-o', '/dev/null', '-e', `trace=${call}`, '-e', inject, ...once],
          // Calls are counted in each thread: there is one for them.
          { env: { UV_THREADPOOL_SIZE: '1' }, timeoutMs: 120_000 },
        ).catch((error: unknown) => error);
        if (!(ended instanceof CommandError)) return false;
        expect(ended).toMatchObject({ signal: 'SIGKILL', timedOut: false });
        return true;
      }
    },
  );
}

function setNamed(procedure: string, id: string): SetRef {
  return { ...setOf(id), procedure };
}
