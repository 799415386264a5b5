import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ApplicationFailure } from '@temporalio/common';
import { mongodbRecord, type Manifest, type MongodbSetRecord } from '../../model/manifest.ts';
import { waitFor } from '../support/processes.ts';
import { openNights, type Night, type Nights } from './night.ts';

/**
 * The example, but its data are copied on their hosts, and archived once all is started again, which nothing delays. The
 * configuration, which nobody writes, is archived as ever.
 */
const folder = mkdtempSync(join(tmpdir(), 'coldbackup-copy-by-'));
const file = join(folder, 'vitam.yaml');
const database = '5/vitam-mongo';
let nights: Nights;

beforeAll(async () => {
  const example = readFileSync('examples/vitam.yaml', 'utf8');
  const members = /^( +)members:$/m.exec(example);
  const copied = example
    .replaceAll(/^( +)members:$/gm, '$1copy-by: auto\n$1members:')
    .replaceAll(/files: \{ host(?!.*\/conf)/g, 'files: { copy-by: auto, host')
    .replace(/^ +restart:.*$/m, '');
  writeFileSync(file, copied);
  expect(members).not.toBeNull();
  nights = await openNights(file);
});
afterAll(async () => {
  await nights.close();
  rmSync(folder, { recursive: true, force: true });
});

test('shards, then config servers are back before anything is archived, the balancer after the fingerprints, the copies go last', async () => {
  const { report, calls, differences } = await nights.run(() => undefined);
  expect(report).toMatchObject({ outcome: 'complete' });
  const ofMembers = report.fingerprints?.filter(({ copy = false }) => !copy) ?? [];
  expect(ofMembers.map(({ database: of, set }) => `${of} ${set}`).sort()).toEqual(
    ['config', 'shard1', 'shard2'].map((set) => `vitam-mongo ${set}`),
  );
  expect(differences).toEqual([]);
  const snapshots = positions(calls, 'applyChange', `0/${database}/`);
  expect(snapshots).toHaveLength(3);
  const first = (activity: string, start: string) => Math.min(...positions(calls, activity, start));
  const last = (activity: string, start: string) => Math.max(...positions(calls, activity, start));
  expect(last('mongodbFlush', '')).toBeLessThan(Math.min(...snapshots));
  expect(last('applyChange', `${database}/1/`)).toBeLessThan(Math.min(...snapshots));
  expect(Math.max(...snapshots)).toBeLessThan(last('attest', ''));
  expect(last('attest', '')).toBeLessThan(first('undoChange', `${database}/1/`));
  expect(Math.max(...snapshots)).toBeLessThan(first('mongodbWritesSince', ''));
  expect(last('mongodbWritesSince', '')).toBeLessThan(first('undoChange', `${database}/1/`));
  expect(last('undoChange', `${database}/1/2/`)).toBeLessThan(first('undoChange', `${database}/1/1/`));
  expect(last('undoChange', `${database}/1/1/`)).toBeLessThan(first('copy', `0/${database}/copy/`));
  expect(last('mongodbFingerprint', '')).toBeLessThan(first('undoChange', `${database}/0`));
  expect(last('copy', `0/${database}/copy/`)).toBeLessThan(first('undoChange', `0/${database}/`));
  expect(positions(calls, 'copy', `0/${database}/copy/`)).toHaveLength(3);
});

test('what the steps have stopped is back before anything is archived, in the order that it always has', async () => {
  const { report, calls, differences, manifests } = await nights.run(() => undefined);
  expect(report).toMatchObject({ outcome: 'complete', notBack: [] });
  expect(differences).toEqual([]);
  const stopped = ['1/', '2/', '3/', '4/'];
  const back = stopped.map((step) => positions(calls, 'undoChange', step));
  const archives = positions(calls, 'copy', '0/5/');
  // The cluster’s three, the offer’s own MongoDB, and two trees of files; the configuration was archived at once.
  expect(archives).toHaveLength(6);
  expect(positions(calls, 'copy', '5/')).toHaveLength(1);
  expect(Math.max(...back.flat())).toBeLessThan(Math.min(...archives));
  expect(back.map((some) => Math.min(...some))).toEqual(
    back.map((some) => Math.min(...some)).sort((one, other) => other - one),
  );
  expect(Math.max(...archives)).toBeLessThan(Math.min(...positions(calls, 'release', '')));
  expect(manifests[0]?.artifacts).toHaveLength(7);
  expect(manifests[0]?.steps.map(({ outcome }) => outcome)).not.toContain('failed');
});

test('where nobody else could be asked the fingerprint is that of the copy, taken between its archive and its removal', async () => {
  const { report, calls, manifests } = await nights.run(() => undefined);
  const offer = '0/5/offer-mongo';
  const [archived = NaN, ...others] = positions(calls, 'copy', `${offer}/copy/`);
  const [taken = NaN, ...more] = positions(calls, 'fingerprintCopy', 'mongo-2:27017');
  expect([...others, ...more]).toEqual([]);
  expect(archived).toBeLessThan(taken);
  expect(taken).toBeLessThan(Math.min(...positions(calls, 'undoChange', `${offer}/`)));
  expect(report.fingerprints).toContainEqual({
    ...{ database: 'offer-mongo', set: 'offer-mongo', member: 'mongo-2:27017', copy: true },
    tookMs: expect.any(Number),
  });
  expect(offerOf(manifests[0])).toMatchObject({ fingerprint: {}, fingerprintOf: 'copy' });
});

test('a fingerprint of a copy that cannot be taken costs the comparison, and neither the set nor its copy', async () => {
  const { report, published, manifests, differences } = await nights.run((miniature) => {
    miniature.fault = (call) => {
      if (call.includes(' fingerprintCopy ')) throw ApplicationFailure.nonRetryable('no mongod', 'Injected');
    };
  });
  expect(report).toMatchObject({ outcome: 'complete', notBack: [] });
  expect(report.warnings).toContainEqual(
    expect.stringMatching('no fingerprint of offer-mongo offer-mongo, .*: no mongod'),
  );
  expect(published).toHaveLength(1);
  expect(offerOf(manifests[0])?.fingerprint).toEqual({ none: 'no mongod' });
  expect(differences).toEqual([]);
});

test('a service that does not come back at once is tried again beside the archives, and the set is published', async () => {
  const { report, published, differences } = await nights.run((miniature) => {
    let failures = 0;
    miniature.fault = (call) => {
      if (!call.includes(' undoChange 1/') || failures === 3) return;
      failures += 1;
      throw ApplicationFailure.nonRetryable('does not start', 'Injected');
    };
  });
  expect(report).toMatchObject({ outcome: 'complete', notBack: [] });
  expect(published).toHaveLength(1);
  expect(differences).toEqual([]);
});

test('a cancel while archives are made leaves no copy and no set, and services stay up', async () => {
  const { report, published, differences } = await nights.run((miniature, handle) => {
    let cancelled = false;
    miniature.fault = async (call) => {
      if (cancelled || !call.includes(' copy 0/5/')) return;
      cancelled = true;
      const running = await handle();
      await miniature.hush();
      await running.cancel();
    };
  });
  expect(report.outcome).toBe('cancelled');
  expect(published).toEqual([]);
  expect(differences).toEqual([]);
});

test.each([
  ['a copy on a host', `applyChange 0/${database}/`, []],
  // What it would end has ended: the test server does not get over an activity that ends as its cancel is on the way.
  [
    'the removal of a copy, once',
    `undoChange 0/${database}/`,
    ['offer-mongo', 'offer-files', 'elasticsearch-data'],
  ],
])('%s that fails leaves everything as found, and no copy', async (_, call, after) => {
  const { report, differences, published, calls } = await failingAt(call, (before) =>
    after.every((other) => positions(before, 'undoChange', `0/5/${other}/`).length > 0),
  );
  expect(calls.some((one) => one.includes(call))).toBe(true);
  expect(report.outcome).not.toBe('complete');
  expect(published).toEqual([]);
  expect(differences).toEqual([]);
});

test('after an archive has failed services do not wait for the removal of copies', async () => {
  const { calls, report, published, differences } = await failingAt(`copy 0/${database}/copy/`);
  expect(report.outcome).toBe('failed');
  expect(published).toEqual([]);
  expect(differences).toEqual([]);
  const removed = positions(calls, 'undoChange', `0/${database}/`);
  const back = positions(calls, 'undoChange', '1/');
  expect(removed).toHaveLength(3);
  expect(Math.max(...back)).toBeLessThan(Math.min(...removed));
});

/** Once: whoever undoes tries again. `when` the calls until then are as they should be. */
function failingAt(call: string, when: (calls: readonly string[]) => boolean = () => true): Promise<Night> {
  return nights.run((miniature) => {
    let failed = false;
    miniature.fault = async (one) => {
      if (failed || !one.includes(` ${call}`)) return;
      failed = true;
      await waitFor(() => when(miniature.calls), {
        what: 'the other copies to be removed',
        withinMs: 30_000,
      });
      await miniature.hush();
      throw ApplicationFailure.nonRetryable('made to fail', 'Injected');
    };
  });
}

function offerOf(manifest: Manifest | undefined): MongodbSetRecord | undefined {
  return manifest && mongodbRecord(manifest, 'offer-mongo')?.sets[0];
}

function positions(calls: readonly string[], activity: string, start: string): readonly number[] {
  return calls.flatMap((call, index) => {
    const [, name, subject = ''] = call.split(' ');
    return name === activity && subject.startsWith(start) ? [index] : [];
  });
}
