import { expect, test } from '@jest/globals';
import { parseSite } from '../../config/load.ts';
import { resolvePlan } from '../../config/plan.ts';
import { backupsOf } from '../../model/plan.ts';
import { spoil } from '../config/small-site.ts';

const startedAt = '2026-11-23T19:00:00.000Z';

test('copy-by: stream is what a site without the key has: one digest, one plan', () => {
  const plain = loaded(spoil());
  const stream = loaded(withCopyBy('stream'));
  expect(stream.digest).toBe(plain.digest);
  const plans = [plain, stream].map((one) => resolvePlan(one, { procedure: 'nightly', startedAt }));
  expect(plans[1]).toEqual(plans[0]);
  expect(JSON.stringify(plans[0])).not.toContain('snapshot');
});

test('with copy-by a plan holds the copy of each member, on the host of the member', () => {
  const plan = resolvePlan(loaded(withCopyBy('auto')), { procedure: 'nightly', startedAt });
  const copies = (host: string) => plan.holds[host]?.filter((hold) => hold.startsWith('snapshot/'));
  expect(copies('one')).toEqual(['snapshot/db/one:27017']);
  expect(copies('two')).toEqual(['snapshot/db/two:27017']);
  expect(backupsOf(plan.steps)[0]?.databases[0]).toMatchObject({ database: 'db', copyBy: 'auto' });
});

test('with copy-by a tree of files is held as one copy on its host', () => {
  const text = spoil(['files: { host: one,', 'files: { host: one, copy-by: reflink,']);
  const plan = resolvePlan(loaded(text), { procedure: 'nightly', startedAt });
  expect(plan.holds['one']?.filter((hold) => hold.startsWith('snapshot/'))).toEqual(['snapshot/tree']);
  expect(backupsOf(plan.steps)[0]?.databases[1]).toMatchObject({ database: 'tree', copyBy: 'reflink' });
});

test('copy-by: copy names a folder on each member, and says so', () => {
  const parsed = parseSite(withCopyBy('copy'), 'small.yaml');
  expect('problems' in parsed && parsed.problems.map(({ key, message }) => `${key}: ${message}`)).toEqual(
    ['one', 'two'].map((host) =>
      expect.stringMatching(`members\\["${host}:27017"\\]: copy-by: copy needs the folder`),
    ),
  );
});

function withCopyBy(how: string): string {
  return spoil(['      members:', `      copy-by: ${how}\n      members:`]);
}

function loaded(text: string) {
  const parsed = parseSite(text, 'small.yaml');
  if ('problems' in parsed) throw new Error(JSON.stringify(parsed.problems));
  return { ...parsed, file: 'small.yaml' };
}
