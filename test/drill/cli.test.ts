import { randomUUID } from 'node:crypto';
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Client, Connection } from '@temporalio/client';
import { createMiniSite, type MiniSite } from '../cli/mini-site.ts';
import { startAll, type Running } from '../cli/coldbackup.ts';
import type { RunRef } from '../../client/reports.ts';
import type { Report } from '../../model/progress.ts';
import type { Drill } from '../../model/drill.ts';
import { controlQueue } from '../../workflows/messages.ts';
import type { VerifyInput } from '../../workflows/verify.ts';
import { createCleanup, waitFor } from '../support/processes.ts';

/** A set made by a real night, drilled by the command line through a real server, control and agents. */
describe('coldbackup drill', () => {
  const cleanup = createCleanup();
  afterAll(cleanup.run);
  let site: MiniSite;
  let all: Running;
  let set: string;
  let temporal: Client;

  beforeAll(async () => {
    site = await createMiniSite(cleanup);
    all = await startAll(cleanup, site);
    const { code, stdout } = await all.coldbackup('run', 'mini', 'nightly', '--wait', '--json');
    const report = JSON.parse(stdout) as { outcome: string; sets: { set: { id: string } }[] };
    expect([code, report.outcome]).toEqual([0, 'complete']);
    set = report.sets[0]?.set.id ?? '';
    const connection = await Connection.connect({ address: all.server.address });
    cleanup.add(() => connection.close());
    temporal = new Client({ connection });
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
    const mend = flipBit();
    const { code, stdout } = await all.coldbackup('drill', 'mini', set, '--wait', '--json');
    expect(code).toBe(1);
    expect((JSON.parse(stdout) as Drill).proof).toMatchObject({ passed: false });
    expect((await all.coldbackup('sets', 'mini')).stdout).toMatch(/FAILED \d{4}-\d\d-\d\d$/m);
    expect((await all.coldbackup('plan', 'mini', 'nightly')).stdout).toContain(`the drill of ${set} failed`);
    mend();
    expect((await all.coldbackup('drill', 'mini', set, '--wait')).code).toBe(0);
    const trend = (await all.coldbackup('sets', 'show', 'mini', set)).stdout;
    expect(trend).toMatch(/^drill +outcome +unpacked and opened in/m);
    expect([...trend.matchAll(/Z +(proven|FAILED) +\d[\d.]* m?s/g)].map(([, outcome]) => outcome)).toEqual([
      ...['proven', 'FAILED', 'proven'],
    ]);
  });

  test('has a history over all sets: what a restore took, against the median of those that passed before', async () => {
    const { code, stdout } = await all.coldbackup('drill', 'mini', '--history');
    expect(code).toBe(0);
    const rows = stdout.trim().split('\n');
    expect(rows[0]).toMatch(/^drill +procedure +set +store +outcome +content +unpack +open +a restore$/);
    expect(rows.slice(1).map((row) => / (proven|FAILED) /.exec(row)?.[1])).toEqual([
      ...['proven', 'FAILED', 'proven'],
    ]);
    expect(rows[1]).toMatch(new RegExp(`nightly +${set} +vault .* % \\(median of 1 before: `));
  });

  test('starts by a schedule, as reading sets again does, which is paused and triggered apart from the nights', async () => {
    const { coldbackup } = all;
    expect((await coldbackup('schedule', 'apply', site.file)).stdout).toContain('2 created');
    const triggered = await coldbackup('schedule', 'trigger', 'mini', 'nightly', '--of', 'drill', '--json');
    const { workflowId } = JSON.parse(triggered.stdout) as RunRef;
    await expect(temporal.workflow.getHandle(workflowId).result()).resolves.toMatchObject({
      set: { id: set },
      proof: { passed: true },
    });
    const why = ['--why', 'disks are busy', '--by', 'ana'];
    expect((await coldbackup('schedule', 'pause', 'mini', 'nightly', ...why)).code).not.toBe(0);
    expect((await coldbackup('schedule', 'pause', 'mini', 'nightly', '--of', 'verify', ...why)).code).toBe(0);
    const { stdout } = await coldbackup('schedule', 'list');
    expect(stdout).toMatch(/^mini\/nightly\/drill +sun 10:00 .* active$/m);
    expect(stdout).toMatch(/^mini\/nightly\/verify +daily 09:00 .* paused: disks are busy \(ana\)$/m);
  });

  test('reads again what is due; a damaged set is told, listed as such, and kept', async () => {
    const verify = (everyDays: number) =>
      temporal.workflow.execute('verify', {
        ...{ workflowId: randomUUID(), taskQueue: controlQueue },
        args: [{ site: 'mini', procedure: 'nightly', everyDays } satisfies VerifyInput],
      });
    await expect(verify(1)).resolves.toEqual({ sets: [] });
    const read = { set: expect.objectContaining({ id: set }) as unknown, store: 'vault' };
    await expect(verify(0)).resolves.toEqual({ sets: [{ ...read, problems: [], mended: [] }] });
    expect((await all.coldbackup('sets', 'mini')).stdout).toMatch(/ 1 +\d{4}-\d\d-\d\d +proven/);

    const mend = flipBit();
    await expect(verify(0)).rejects.toMatchObject({ cause: { type: 'Damaged' } });
    expect((await all.coldbackup('sets', 'mini')).stdout).toContain('DAMAGED');
    expect((await all.coldbackup('plan', 'mini', 'nightly')).stdout).toContain(`damaged: ${set}`);
    expect((await all.coldbackup('prune', 'mini', '--dry-run')).stdout).toMatch(/stays +damaged/);
    mend();
    await verify(0);
    expect((await all.coldbackup('sets', 'mini')).stdout).not.toContain('DAMAGED');
  });

  test('of which the newest proof is older than prove-every is a warning: of the plan, of status, of the report', async () => {
    const proofs = join(site.store, 'mini', 'nightly', set, 'proofs.json');
    const late = new Date(Date.now() - 91 * 86_400_000).toISOString();
    writeFileSync(proofs, readFileSync(proofs, 'utf8').replaceAll(/"at": "[^"]+"/g, `"at": "${late}"`));
    const words = `proofs in vault: the newest proof is of ${late}, of set ${set} (prove-every: 90d)`;
    const { stdout: plan } = await all.coldbackup('plan', 'mini', 'nightly');
    expect(plan).toMatch(/^warning +db-1 +proofs in vault +the newest proof is of /m);
    site.setBusy(1);
    const night = all.coldbackup('run', 'mini', 'nightly', '--again', '--wait', '--json');
    const status = async () => (await all.coldbackup('status', 'mini')).stdout;
    await waitFor(async () => (await status()).includes(`note   db-1: ${words}`), {
      ...{ what: 'status to say so', withinMs: 60_000 },
    });
    site.setBusy(0);
    const { code, stdout } = await night;
    expect([code, (JSON.parse(stdout) as Report).warnings]).toEqual([0, [`db-1: ${words}`]]);
    expect((await all.coldbackup('drill', 'mini', '--wait')).code).toBe(0);
    expect((await all.coldbackup('plan', 'mini', 'nightly')).stdout).not.toMatch(/^warning .*newest proof/m);
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

  /** In the middle of the set's archive; gives what flips it back. */
  function flipBit(): () => void {
    const artifact = join(site.store, 'mini', 'nightly', set, 'tree', 'files.tar.zst');
    const whole = readFileSync(artifact);
    const bytes = Buffer.from(whole);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    writeFileSync(artifact, bytes);
    return () => {
      writeFileSync(artifact, whole);
    };
  }

  function hostsWithScratch(): readonly string[] {
    return readdirSync(join(site.scratch, 'coldbackup', 'mini'));
  }
});
