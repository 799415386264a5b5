import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ApplicationFailure } from '@temporalio/common';
import { storesLeft } from '../../workflows/copy.ts';
import { openNights, type Night, type Nights } from './night.ts';

/** The example, with a second store that may be left out: one read goes to both; and without fingerprints. */
const folder = mkdtempSync(join(tmpdir(), 'coldbackup-several-'));
const file = join(folder, 'vitam.yaml');
/** One of each shard, the config set, the offer’s set, and three trees. */
const sources = 7;
let nights: Nights;

beforeAll(async () => {
  const example = readFileSync('examples/vitam.yaml', 'utf8')
    .replace(/^( +)members:$/m, '$1fingerprint: none\n$1members:')
    .replace(/^( +)to: \[vault\]$/m, '$1to: [vault, offsite]\n$1needs: any')
    .replace(
      /^stores:$/m,
      'stores:\n  offsite: { directory: /backup/offsite, shared: true, keeper: mongo-2 }',
    );
  expect(example).toContain('to: [vault, offsite]');
  writeFileSync(file, example);
  nights = await openNights(file);
});
afterAll(async () => {
  await nights.close();
  rmSync(folder, { recursive: true, force: true });
});

const copies = ({ calls }: Night): readonly string[] =>
  calls.filter((call) => / copy(ToStores)? /.test(call)).map((call) => call.split(' ')[1] ?? '');
const setsOf = ({ report }: Night): readonly string[] => report.sets.map(({ store }) => store).sort();
const mongo = (store: string) => (name: string, artifact: string) =>
  name === store && artifact.startsWith('vitam-mongo/');

test('of a database with fingerprint: none nothing is read to compare it with, and its set says so', async () => {
  const { calls, manifests, report } = await nights.run(() => undefined);
  expect(calls.filter((call) => call.includes('mongodbFingerprint'))).toEqual([]);
  expect(report.fingerprints).toBeUndefined();
  const [database] = manifests[0]?.databases ?? [];
  const none = { fingerprint: { none: 'the site file says fingerprint: none' } };
  expect(database).toMatchObject({ database: 'vitam-mongo', sets: [none, none, none] });
});

/** What the example says of each of its nights. */
const always = expect.stringMatching(/^service workspace keeps/);

describe('a backup to several stores', () => {
  test('reads each source once, and there is a whole set in each of them', async () => {
    const done = await nights.run(() => undefined);
    expect(done.report).toMatchObject({ outcome: 'complete', warnings: [always] });
    expect(copies(done)).toEqual(Array.from({ length: sources }, () => 'copyToStores'));
    expect(setsOf(done)).toEqual(['offsite', 'vault']);
    expect(done.manifests.map(({ artifacts }) => artifacts.length)).toEqual([sources, sources]);
    for (const { artifacts } of done.manifests)
      expect(new Set(artifacts.map(({ store }) => store)).size).toBe(1);
    expect(done.differences).toEqual([]);
  });

  test('that needs any goes on without one that fails; outcome and manifest say which, and it gets no set', async () => {
    const done = await nights.run((miniature) => {
      miniature.storeFails = mongo('offsite');
    });
    expect(done.report.outcome).toBe('complete');
    expect(setsOf(done)).toEqual(['vault']);
    expect(done.manifests).toHaveLength(1);
    expect(done.manifests[0]?.artifacts).toHaveLength(sources);
    const said = 'store offsite gets no set of this run: the store is full';
    expect(done.report.warnings).toEqual([always, said]);
    expect(done.manifests[0]?.warnings).toEqual([always, said]);
    expect(done.report.steps.find(({ label }) => label.includes('backup'))).toMatchObject({
      outcome: 'done',
      detail: 'not in offsite',
    });
    expect(done.differences).toEqual([]);
  });

  test('that needs any publishes in the others where one takes no manifest', async () => {
    const unpublished = await nights.run((miniature) => {
      miniature.fault = (call) => {
        if (call.startsWith('mongo-2 publishSet'))
          throw ApplicationFailure.nonRetryable('the server is gone', 'StoreError');
      };
    });
    expect(unpublished.report.outcome).toBe('complete');
    expect(setsOf(unpublished)).toEqual(['vault']);
    expect(unpublished.report.warnings[1]).toMatch(
      /^store offsite gets no set of this run: its manifest could not be written: .*the server is gone/,
    );
  });

  test('fails where every store has failed, each for its own reason', () => {
    const failed = new Map([['offsite', 'the store is full']]);
    expect(storesLeft({ to: ['vault', 'offsite'], failed })).toEqual(['vault']);
    failed.set('vault', 'its disk is gone');
    expect(() => storesLeft({ to: ['vault', 'offsite'], failed })).toThrow(
      'no store of the step has all of it: vault: its disk is gone; offsite: the store is full',
    );
  });
});
