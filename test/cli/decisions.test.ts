import { readdirSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ColdbackupClient, type Progress } from '../../client/index.ts';
import { createCleanup, waitFor } from '../support/processes.ts';
import { startAll, type Coldbackup } from './coldbackup.ts';
import { createMiniSite, type MiniSite } from './mini-site.ts';

const asFound = { web: 'running', worker: 'running', archive: 'running', spare: 'stopped' };
const why = ['--why', 'said by the test', '--by', 'ada'];
const cleanup = createCleanup();
let site: MiniSite;
let coldbackup: Coldbackup;
let client: ColdbackupClient;

beforeAll(async () => {
  site = await createMiniSite(cleanup, { copied: true });
  site.setBusy(3);
  const all = await startAll(cleanup, site);
  coldbackup = all.coldbackup;
  client = await ColdbackupClient.connect({ address: all.server.address });
  cleanup.add(() => client.close());
}, 120_000);
afterAll(cleanup.run);

async function until(what: string, check: (progress: Progress) => boolean): Promise<Progress> {
  const run = await client.active('mini');
  await waitFor(
    async () => {
      const { progress } = await client.look(run);
      if (progress.report !== null) throw new Error(JSON.stringify(progress.report));
      return check(progress);
    },
    { what, withinMs: 120_000 },
  );
  return (await client.look(run)).progress;
}

function stateOf(progress: Progress, id: string): string | undefined {
  return progress.steps.find((step) => step.id === id)?.state;
}

test('operators pause, answer, extend, resume and retry; every word is in the report and in the manifest', async () => {
  const run = await client.start('mini', 'asking');
  await until('the wait', (progress) => stateOf(progress, '2') === 'waiting');

  expect(await coldbackup('pause', 'mini', ...why)).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^accepted: nothing new is begun/),
  });
  expect(await coldbackup('pause', 'mini', ...why)).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('it is paused already, by ada: said by the test'),
  });
  expect(await coldbackup('skip', 'mini', '9', ...why)).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('there is no step "9"; there are 1, 2, 3, 4'),
  });
  expect(await coldbackup('answer', 'mini', 'continue', ...why)).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('nothing is asked'),
  });

  await until('the question', ({ questions }) => questions.length === 1);
  const { stdout: status } = await coldbackup('status', 'mini');
  expect(status).toContain(
    'asks: Go on while it is busy? (busy = 0 not reached: 3) (continue, fail)   until',
  );
  expect(status).toContain('do     coldbackup answer mini continue|fail --why "…"');
  expect(status).toContain('       coldbackup resume mini --why "…"   (paused by ada: said by the test)');
  expect(await coldbackup('answer', 'mini', 'maybe', ...why)).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('step 2 asks for one of continue, fail, not "maybe"'),
  });
  expect((await coldbackup('answer', 'mini', 'continue', ...why)).code).toBe(0);

  const answered = await until('the answer', (progress) => stateOf(progress, '2') === 'gave-up');
  expect(stateOf(answered, '3')).toBe('not-reached');

  const laterBy = (minutes: number) =>
    new Date(Date.parse(answered.upBy ?? '') + minutes * 60_000).toISOString();
  expect(await coldbackup('extend', 'mini', '--up-by', laterBy(500), ...why)).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('is past the hard limit of this night'),
  });
  expect(await coldbackup('extend', 'mini', '--up-by', 'noon', ...why)).toMatchObject({ code: 2 });
  expect(await coldbackup('extend', 'mini', '--up-by', laterBy(20), ...why)).toMatchObject({
    code: 0,
    stdout: expect.stringContaining(`accepted: up by ${laterBy(20)}, on app-1, db-1`),
  });
  expect((await client.ledger('mini')).map(({ view }) => view?.held?.upBy)).toEqual([
    laterBy(20),
    laterBy(20),
  ]);

  const data = join(dirname(dirname(site.file)), 'data');
  renameSync(data, `${data}.away`);
  expect((await coldbackup('resume', 'mini', ...why)).code).toBe(0);
  const failed = await until('the failure', ({ questions }) => questions.length === 1);
  expect(failed.questions[0]).toMatchObject({ step: '4', answers: ['retry', 'skip', 'fail'] });
  expect(failed.upBy).toBe(laterBy(20));
  renameSync(`${data}.away`, data);
  expect((await coldbackup('retry', 'mini', ...why)).code).toBe(0);

  const report = await client.result(run);
  expect(report).toMatchObject({ outcome: 'complete', notBack: [] });
  const words = [
    { what: 'pause' },
    { what: 'answer', detail: '2: continue' },
    { what: 'extend', detail: `up by ${laterBy(20)}` },
    { what: 'resume' },
    { what: 'retry', detail: '4' },
  ].map((word) => ({ ...word, by: 'ada', why: 'said by the test' }));
  expect(report.decisions).toMatchObject(words);
  const manifest = await client.setShow('mini', report.sets[0]?.set.id ?? '');
  expect(manifest).toMatchObject({ complete: true, decisions: words });
  expect(manifest.artifacts.map(({ name }) => name)).toEqual(['tree/files.2.tar.zst']);
  expect((await client.setVerify('mini', manifest.set.id)).flatMap(({ problems }) => problems)).toEqual([]);
  expect(await site.services()).toEqual(asFound);
}, 240_000);

test('an archive that fails is asked about, and made again from the copy on its host: services are up meanwhile', async () => {
  const run = await client.start('mini', 'asking', { again: true });
  await until('the wait', (progress) => stateOf(progress, '2') === 'waiting');
  renameSync(site.store, `${site.store}.away`);
  expect((await coldbackup('skip', 'mini', '2', ...why)).code).toBe(0);
  const failed = await until('the failure', ({ questions }) => questions.length === 1);
  expect(failed).toMatchObject({ phase: 'archive', down: [], questions: [{ step: '4' }] });
  expect(stateOf(failed, '4')).toBe('running');
  expect((await coldbackup('status', 'mini')).stdout).toMatch(
    /making archives of the copies on the hosts +until \d\d:\d\d.*, then they end, and there is no set$/m,
  );
  expect(await site.services()).toEqual(asFound);
  expect(await coldbackup('bring-back', 'mini', ...why)).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('archives are being made, which abort ends'),
  });

  renameSync(`${site.store}.away`, site.store);
  expect((await coldbackup('retry', 'mini', ...why)).code).toBe(0);
  const report = await client.result(run);
  expect(report).toMatchObject({ outcome: 'complete', notBack: [] });
  expect(report.steps.at(-1)).toMatchObject({ id: '4', outcome: 'done' });
  const manifest = await client.setShow('mini', report.sets[0]?.set.id ?? '');
  expect(manifest.artifacts.map(({ name }) => name)).toEqual(['tree/files.tar.zst']);
  expect(readdirSync(join(dirname(dirname(site.file)), 'copies'))).toEqual([]);
}, 240_000);

test('a wait is skipped, and a backup: then there is no set, and the outcome says why', async () => {
  const run = await client.start('mini', 'nightly');
  await until('the wait', (progress) => stateOf(progress, '2') === 'waiting');
  expect((await coldbackup('skip', 'mini', '4', ...why)).code).toBe(0);
  expect((await coldbackup('skip', 'mini', '2', ...why)).code).toBe(0);

  const report = await client.result(run);
  expect(report.steps.map(({ outcome }) => outcome)).toEqual(['done', 'skipped', 'done', 'skipped']);
  expect(report).toMatchObject({ outcome: 'incomplete', sets: [], notBack: [] });
  expect(report.reason).toContain('skipped: 4 cold backup of tree to vault (by ada: said by the test)');
  expect(await site.services()).toEqual(asFound);
}, 120_000);

test('bring-back gives up waiting at once', async () => {
  const run = await client.start('mini', 'left');
  await until('the wait', (progress) => stateOf(progress, '2') === 'waiting');
  expect(await coldbackup('bring-back', 'mini', ...why)).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('accepted: 1 service is brought back'),
  });

  expect(await client.result(run)).toMatchObject({
    outcome: 'incomplete',
    reason: 'brought back early by ada: said by the test',
    notBack: [],
  });
  expect(await site.services()).toEqual(asFound);
}, 120_000);

test('a run waits for the one that holds its host, where its procedure says so, and holds nothing meanwhile', async () => {
  site.setBusy(1);
  const holder = await client.start('mini', 'left', { again: true });
  await waitFor(async () => stateOf(await client.progress('mini', 'left'), '2') === 'waiting', {
    what: 'the wait of the first',
    withinMs: 60_000,
  });
  const patient = await client.start('mini', 'patient');
  await waitFor(
    async () =>
      (await client.progress('mini', 'patient')).now[0]?.text === 'waiting until no other run holds app-1',
    { what: 'the second to wait', withinMs: 60_000 },
  );
  const [ledger] = await client.ledger('mini');
  expect(ledger?.view?.held).toMatchObject({ procedure: 'left', workflowId: holder.workflowId });

  site.setBusy(0);
  expect(await client.result(holder)).toMatchObject({ outcome: 'complete' });
  expect(await client.result(patient)).toMatchObject({ outcome: 'complete', notBack: [] });
  expect(await site.services()).toEqual(asFound);
}, 120_000);

test('a night in which bringing back cannot fit, as earlier ones have shown, is a no-go', async () => {
  const upBy = new Date(Date.now() + 30_000).toISOString();
  const { code, stdout } = await coldbackup('plan', 'mini', 'left', '--up-by', upBy);

  expect(code).toBe(3);
  expect(stdout).toMatch(
    /no-go +- +window +bringing back takes about \d+ s \(1 of 1 services measured\), and there are/,
  );
}, 60_000);
