import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { readSecret } from '../../activities/system/secrets.ts';

const folder = mkdtempSync(join(tmpdir(), 'coldbackup-secrets-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('a secret in a file loses the line end that editors add', async () => {
  const file = join(folder, 'uri');
  writeFileSync(file, 'mongodb://user:pass word@host \n\n');
  expect(await readSecret({ file })).toBe('mongodb://user:pass word@host');
});

test('a secret in the environment is read when it is used', async () => {
  process.env['COLDBACKUP_TEST_URI'] = 'value\n';
  expect(await readSecret({ env: 'COLDBACKUP_TEST_URI' })).toBe('value');
  delete process.env['COLDBACKUP_TEST_URI'];
});

test('a missing secret is named by its reference, with what to do', async () => {
  const file = join(folder, 'missing');
  await expect(readSecret({ file })).rejects.toThrow(
    `The secret file: ${file} cannot be read on this host (ENOENT). It must exist`,
  );
  await expect(readSecret({ env: 'COLDBACKUP_NOT_SET' })).rejects.toThrow(
    'The secret env: COLDBACKUP_NOT_SET is not set on this host.',
  );
});

test('an empty secret is refused', async () => {
  const file = join(folder, 'empty');
  writeFileSync(file, '\n');
  await expect(readSecret({ file })).rejects.toThrow('is empty on this host');
});
