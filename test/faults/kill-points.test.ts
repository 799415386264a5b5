import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readProofs, recordProof } from '../../activities/stores/proofs.ts';
import { pruneSets } from '../../activities/stores/prune.ts';
import { listSets, publishSet, showSet } from '../../activities/stores/sets.ts';
import { openStore } from '../../activities/stores/activities.ts';
import { verifySet } from '../../activities/stores/verify.ts';
import { CommandError, runCommand } from '../../activities/system/command.ts';
import type { Proof, SetRef } from '../../model/manifest.ts';
import type { Site } from '../../model/site.ts';
import { copyOf, copyTo, folderOf, manifestOf, setOf, siteWith } from '../stores/support.ts';
import { createCleanup } from '../support/processes.ts';

const host = 'mongo-1';
const dayMs = 24 * 3_600_000;
/** By then nothing that was left has changed for long. */
const laterMs = Date.now() + 2 * dayMs;
const never = new AbortController().signal;

const strace = await runCommand(['strace', '-V']).catch(() => null);
if (strace === null) console.warn('kills at each change of a store are not tested: strace is not there');

(strace === null ? describe.skip : describe)(
  'an agent that is killed at any of its changes of a store',
  () => {
    const cleanup = createCleanup();
    let folder = '';
    let tree = '';
    let run = 0;
    beforeAll(async () => {
      folder = await cleanup.folder();
      tree = join(folder, 'tree');
      mkdirSync(tree);
      for (const name of ['one', 'two']) writeFileSync(join(tree, name), name.repeat(1_000));
    });
    afterAll(cleanup.run);

    test('by retention leaves no half set that looks whole, and the next prune finishes', async () => {
      const { directory, site, store } = storeAt('pruned');
      const ids = [1, 2, 3].map((day) => `2026-11-0${day}T190000Z-0a1b2c3d`);
      const plan = { site: 'vitam', procedure: 'nightly', keep: { last: 1 } };
      const input = { plan, store: 'vault', now: new Date(laterMs).toISOString() };
      for (const call of ['unlink', 'rmdir', 'fsync']) {
        for (const id of ids) {
          if (existsSync(folderOf(directory, setOf(id)))) continue;
          const artifact = await copyTo(site, host, setOf(id), 'offer/files.tar.zst', tree);
          await publishSet(store, manifestOf(setOf(id), [artifact]));
        }
        expect(await killedAtEach(call, { site, act: 'prune' }, () => input)).toBeGreaterThan(0);
        expect(await wholeSets(site)).toEqual(ids.slice(2));
        expect(readdirSync(join(directory, 'vitam', 'nightly'))).toEqual(ids.slice(2));
      }
    });

    test('by an upload leaves a whole set or none; what is left goes a day later, and the next set is made beside it', async () => {
      const { directory, site, store } = storeAt('uploaded');
      let set = setOf('');
      const next = () => {
        set = setOf(`2026-11-20T19${String(run).padStart(4, '0')}Z-0a1b2c3d`);
        const copy = copyOf(site, host, set, 'offer/files.tar.zst', tree);
        const publish = { site: 'vitam', store: 'vault', manifest: manifestOf(set, []) };
        return { copy: { ...copy, site: null, hooks: null }, publish };
      };
      for (const call of ['link', 'rename', 'unlink', 'fsync']) {
        await killedAtEach(call, { site, act: 'upload' }, next);
        expect((await wholeSets(site)).at(-1)).toBe(set.id);
      }
      await pruneSets(store, { site: 'vitam', procedure: 'nightly', keep: null }, laterMs);
      expect(readdirSync(join(directory, 'vitam', 'nightly')).sort()).toEqual(await wholeSets(site));
    });

    test('by a drill that writes its proof leaves the earlier proofs or all of them', async () => {
      const { site, store } = storeAt('proven');
      const set = setOf('2026-11-01T190000Z-0a1b2c3d');
      await publishSet(store, manifestOf(set, [await copyTo(site, host, set, 'offer/files.tar.zst', tree)]));
      const runIds = async () => (await readProofs(store, set)).map(({ runId }) => runId);
      const proofOf = (runId: string) => ({ runId, at: '2026-11-02T100000Z', passed: true }) as Proof;
      await recordProof(store, set, proofOf('first'));
      for (const call of ['rename', 'fsync']) {
        const proof = proofOf(call);
        const before = await runIds();
        const either = async () => expect([before, [call, ...before]]).toContainEqual(await runIds());
        expect(
          await killedAtEach(call, { site, act: 'proof' }, () => ({ set, proof }), either),
        ).toBeGreaterThan(0);
        expect(await runIds()).toEqual([call, ...before]);
      }
    });

    function storeAt(name: string) {
      const directory = join(folder, name);
      mkdirSync(directory);
      const site = siteWith(directory);
      return { directory, site, store: openStore(site, host, 'vault') };
    }

    /** Of the listing, each of them read and every digest compared. */
    async function wholeSets(site: Site): Promise<readonly string[]> {
      const store = openStore(site, host, 'vault');
      const sets: SetRef[] = (await listSets(store, 'vitam')).map(({ set }) => set);
      for (const set of sets) {
        const { problems } = await verifySet(store, await showSet(store, set), {
          signal: never,
          onProgress: () => undefined,
        });
        expect([set.id, problems]).toEqual([set.id, []]);
      }
      return sets.map(({ id }) => id);
    }

    /** At its first such call, at its second, and so on until it is done; gives how often. */
    async function killedAtEach(
      call: string,
      { site, act }: { readonly site: Site; readonly act: 'prune' | 'upload' | 'proof' },
      inputOf: () => object,
      look: () => unknown = () => wholeSets(site),
    ): Promise<number> {
      for (let kills = 0; ; kills++) {
        if (!(await isKilled(`inject=${call}:signal=SIGKILL:when=${kills + 1}`))) return kills;
        await look();
      }

      async function isKilled(inject: string): Promise<boolean> {
        run += 1;
        const files = { site: join(folder, `site-${run}.json`), input: join(folder, `input-${run}.json`) };
        writeFileSync(files.site, JSON.stringify(site));
        writeFileSync(files.input, JSON.stringify(inputOf()));
        const ended = await runCommand(
          [
            ...['strace', '-f', '-qq', '-o', '/dev/null', '-e', `trace=${call}`, '-e', inject],
            ...[process.execPath, 'test/faults/store-once.mjs', files.site, host, act, files.input],
          ],
          // Calls are counted in each thread: there is one for them.
          { env: { UV_THREADPOOL_SIZE: '1' }, timeoutMs: 120_000 },
        ).catch((error: unknown) => error);
        if (!(ended instanceof CommandError)) return false;
        expect(ended).toMatchObject({ signal: 'SIGKILL', timedOut: false });
        return true;
      }
    }
  },
);
