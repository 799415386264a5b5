import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ApplicationFailure } from '@temporalio/common';
import { openNights, type Night, type Nights } from './night.ts';

/** The example, but each host has a disk of its own, and no set is ever let go. */
const folder = mkdtempSync(join(tmpdir(), 'coldbackup-disks-'));
const example = readFileSync('examples/vitam.yaml', 'utf8');
const file = join(folder, 'vitam.yaml');
let nights: Nights;

beforeAll(async () => {
  writeFileSync(file, example.replace('shared: true', 'shared: false').replace(/^ +keep:.*\n/m, ''));
  nights = await openNights(file);
});
afterAll(async () => {
  await nights.close();
  rmSync(folder, { recursive: true, force: true });
});

test('of disks that are not shared the keeper publishes last and prunes first, also without retention', async () => {
  const night = await nights.run(() => undefined);
  expect(night.report).toMatchObject({ outcome: 'complete' });
  const publishing = hostsThat('publishSet', night);
  expect(publishing.length).toBeGreaterThan(1);
  expect(publishing.at(-1)).toBe('mongo-1');
  expect(new Set(publishing)).toEqual(new Set(['mongo-1', ...hostsThat('copy', night)]));
  const pruning = hostsThat('pruneSets', night);
  expect(pruning[0]).toBe('mongo-1');
  expect(new Set(pruning).size).toBe(pruning.length);
  expect(pruning).toEqual(expect.arrayContaining([...publishing]));
});

test('a host that cannot publish its part leaves no set: the keeper is not asked', async () => {
  const without = await nights.run((miniature) => {
    miniature.fault = (call) => {
      if (call.startsWith('mongo-2 publishSet')) throw ApplicationFailure.nonRetryable('made to fail');
    };
  });
  expect(without.report).toMatchObject({ outcome: 'failed', sets: [] });
  expect(hostsThat('publishSet', without)).not.toContain('mongo-1');
  // What nights that failed have left is cleared at the end of this one too.
  expect(hostsThat('pruneSets', without)[0]).toBe('mongo-1');
  expect(hostsThat('pruneSets', without)).toContain('mongo-2');
  expect(without.differences).toEqual([]);
});

test('a host that cannot prune its part is told as a warning', async () => {
  const night = await nights.run((miniature) => {
    miniature.fault = (call) => {
      if (call.startsWith('mongo-2 pruneSets')) throw ApplicationFailure.nonRetryable('made to fail');
    };
  });
  expect(night.report.outcome).toBe('complete');
  expect(night.report.warnings).toContainEqual(expect.stringContaining('retention in vault on mongo-2'));
});

function hostsThat(activity: string, { calls }: Night): readonly string[] {
  return calls.filter((call) => call.split(' ')[1] === activity).map((call) => call.split(' ')[0] ?? '');
}
