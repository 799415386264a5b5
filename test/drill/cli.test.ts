import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createMiniSite, type MiniSite } from '../cli/mini-site.ts';
import { startAll, type Running } from '../cli/coldbackup.ts';
import type { Drill } from '../../workflows/drill.ts';
import { createCleanup, waitFor } from '../support/processes.ts';

/** A set made by a real night, drilled by the command line through a real server, control and agents. */
describe('coldbackup drill', () => {
  const cleanup = createCleanup();
  afterAll(cleanup.run);
  let site: MiniSite;
  let all: Running;
  let set: string;

  beforeAll(async () => {
    site = await createMiniSite(cleanup);
    all = await startAll(cleanup, site);
    const { code, stdout } = await all.coldbackup('run', 'mini', 'nightly', '--wait', '--json');
    const report = JSON.parse(stdout) as { outcome: string; sets: { set: { id: string } }[] };
    expect([code, report.outcome]).toEqual([0, 'complete']);
    set = report.sets[0]?.set.id ?? '';
  });

  test('before the first, preflight warns that no set was ever proven', async () => {
    const { stdout } = await all.coldbackup('plan', 'mini', 'nightly');
    expect(stdout).toContain('no set was ever proven (prove-every: 90d)');
  });

  test('restores the newest set, says what a restore takes, and the set is listed as proven', async () => {
    const before = await site.services();
    const drilled = await all.coldbackup('drill', 'mini', '--wait');
    expect(drilled).toMatchObject({ code: 0, stderr: '' });
    expect(drilled.stdout).toMatch(/mini\/nightly · store vault · proven\n/);
    expect(drilled.stdout).toContain('a restore takes at least');
    expect(await site.services()).toEqual(before);
    expect((await all.coldbackup('sets', 'mini')).stdout).toMatch(/proven \d{4}-\d\d-\d\d$/m);
    expect((await all.coldbackup('sets', 'show', 'mini', set)).stdout).toMatch(/Z +proven /);
    expect((await all.coldbackup('plan', 'mini', 'nightly')).stdout).not.toContain('was ever proven');
    expect(hostsWithScratch()).toEqual([]);
  });

  test('of a set with one flipped bit fails, and marks the set; preflight warns', async () => {
    const artifact = join(site.store, 'mini', 'nightly', set, 'tree', 'files.tar.zst');
    const whole = readFileSync(artifact);
    const bytes = Buffer.from(whole);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    writeFileSync(artifact, bytes);
    const { code, stdout } = await all.coldbackup('drill', 'mini', set, '--wait', '--json');
    expect(code).toBe(1);
    expect((JSON.parse(stdout) as Drill).proof).toMatchObject({ passed: false });
    expect((await all.coldbackup('sets', 'mini')).stdout).toMatch(/FAILED \d{4}-\d\d-\d\d$/m);
    expect((await all.coldbackup('plan', 'mini', 'nightly')).stdout).toContain(`the drill of ${set} failed`);
    writeFileSync(artifact, whole);
    expect((await all.coldbackup('drill', 'mini', set, '--wait')).code).toBe(0);
  });

  test('does not begin while a run holds the host: nothing is recorded', async () => {
    site.setBusy(1);
    const run = all.coldbackup('run', 'mini', 'right', '--wait');
    await waitFor(async () => (await site.services())['archive'] === 'stopped', {
      ...{ what: 'archive is down', withinMs: 60_000 },
    });
    const refused = await all.coldbackup('drill', 'mini', '--wait');
    expect(refused.code).toBe(3);
    expect(refused.stderr).toContain('db-1 is held by right');
    site.setBusy(0);
    expect((await run).code).toBe(0);
  });

  test('refuses a set that is not there, and a scratch folder that is not there', async () => {
    const unknown = await all.coldbackup('drill', 'mini', '1999', '--wait');
    expect(unknown).toMatchObject({ code: 2 });
    expect(unknown.stderr).toContain(set);
    rmSync(site.scratch, { recursive: true });
    const refused = await all.coldbackup('drill', 'mini', '--wait');
    expect(refused.code).toBe(3);
    expect(refused.stderr).toContain('is not there: make it, or mount its disk');
  });

  function hostsWithScratch(): readonly string[] {
    return readdirSync(join(site.scratch, 'coldbackup', 'mini'));
  }
});
