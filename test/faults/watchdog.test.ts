import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Client, Connection } from '@temporalio/client';
import { ColdbackupClient } from '../../client/index.ts';
import { openNights } from '../../client/nights.ts';
import { loadSite } from '../../config/load.ts';
import type { Site } from '../../model/site.ts';
import type { WatchdogRound } from '../../workers/watchdog.ts';
import { describeHolder } from '../../workers/watchdog/holder.ts';
import { main, startAll, type Running, type Said } from '../cli/coldbackup.ts';
import { createMiniSite, type MiniSite } from '../cli/mini-site.ts';
import { createCleanup, waitFor, type Started } from '../support/processes.ts';

const asFound = { web: 'running', worker: 'running', archive: 'running', spare: 'stopped' };
const workflowId = 'coldbackup/mini/nightly';

/** One site, one server; each test leaves it as it was found. The watchdog's patience is that of a test. */
describe('the watchdog', () => {
  const cleanup = createCleanup();
  let site: MiniSite;
  let all: Running;
  let library: ColdbackupClient;
  let temporal: Client;
  let folder: string;
  const unknown = { id: 'of-no-known-type', startedMs: 0 };

  beforeAll(async () => {
    site = await createMiniSite(cleanup);
    folder = await cleanup.folder();
    all = await startAll(cleanup, site, { dbFile: join(folder, 'temporal.db') });
    library = await ColdbackupClient.connect({ address: all.server.address });
    cleanup.add(() => library.close());
    const connection = await Connection.connect({ address: all.server.address });
    cleanup.add(() => connection.close());
    temporal = new Client({ connection });
    unknown.startedMs = Date.now();
    // Control fails its task again and again, while the other tests run.
    await temporal.workflow.start('noSuchType', { workflowId: unknown.id, taskQueue: 'coldbackup' });
  });
  afterAll(cleanup.run);

  test('has one thing to say of a site where somebody stopped a service', async () => {
    await site.stopService('worker');
    const said = await all.coldbackup('watchdog', '--sites', site.sites, '--once');
    await site.startService('worker');
    expect(said).toEqual({
      code: 1,
      stdout: expect.stringMatching(
        new RegExp(
          [
            'site   host    state   watchdog',
            'mini   app-1   free',
            'mini   db-1    free',
            '',
            'alert   mini   worker on app-1   stopped, although normally running, and nothing holds it: .*',
            '',
            '1 alert\n$',
          ].join('\n'),
        ),
      ) as unknown as string,
      stderr: '',
    });
  });

  test('leaves a run alone until it is terminated, and brings back then; of two of them, one does', async () => {
    await inTheMiddle();
    const { code, round } = await once();
    expect(code).toBe(0);
    expect(round.sites[0]?.hosts.map(({ state, verdict }) => [state, verdict?.kind])).toEqual([
      ['held', 'leave'],
      ['held', 'leave'],
    ]);

    const touched = join(folder, 'alive');
    const dogs = await Promise.all([startWatchdog('--touch', touched), startWatchdog()]);
    await waitFor(() => existsSync(touched), { what: 'a round', withinMs: 20_000 });
    const before = site.starts();
    const aliveMs = statSync(touched).mtimeMs;
    const began = Date.now();
    await temporal.workflow.getHandle(workflowId).terminate('by hand');
    await untilFree(dogs[0]);
    console.log(
      `terminated: all back after ${((Date.now() - began) / 1000).toFixed(1)} s (rounds of 1 s, settled after 2 s)`,
    );
    expect(await site.services()).toEqual(asFound);
    await waitFor(() => statSync(touched).mtimeMs > aliveMs + 3_000, {
      what: 'later rounds',
      withinMs: 20_000,
    });
    expect(site.starts()).toEqual({ ...before, web: (before['web'] ?? 0) + 1 });
    await Promise.all(dogs.map((dog) => dog.stop()));
  });

  test('brings back for an open run past up-by and grace, host by host as they answer; the run does nothing any more', async () => {
    const { ended } = await inTheMiddle();
    const agents = Object.values(all.agents);
    for (const process of [all.control, ...agents]) process.kill('SIGKILL');
    await Promise.all(agents.map((agent) => agent.exited));
    site.hosts.forEach(passUpBy);
    const before = site.starts();
    const began = Date.now();
    const touched = join(folder, 'lives-on');
    // db-1 does not answer, and keeps nobody waiting for long.
    const [dog] = await Promise.all([startWatchdog('--touch', touched), all.startAgent('app-1')]);
    await waitFor(async () => (await site.services())['web'] === 'running', {
      what: 'web is back',
      withinMs: 60_000,
    });
    console.log(
      `past up-by, control and db-1 dead: back after ${((Date.now() - began) / 1000).toFixed(1)} s`,
    );
    await waitFor(() => dog.output().includes('"subject":"db-1"'), { what: 'the alert', withinMs: 10_000 });
    await all.startAgent('db-1');
    await untilFree(dog);
    expect(await site.services()).toEqual(asFound);
    site.setBusy(0);
    await all.startControl();
    expect((await ended).code).not.toBe(0); // fenced: it says so, and ends
    expect(await site.services()).toEqual(asFound);
    expect(site.starts()).toEqual({ ...before, web: (before['web'] ?? 0) + 1 });

    // A round that could not look at everything is no sign of life; it goes on when the server is back.
    await all.server.kill('SIGKILL');
    const lastFailedMs = () => {
      const lines = dog.output().split('\n');
      const last = lines.findLast((line) => line.includes('the round is not whole'));
      return last === undefined ? 0 : (JSON.parse(last) as { readonly time: number }).time;
    };
    const firstMs = await waitFor(lastFailedMs, { what: 'a failed round', withinMs: 60_000 });
    const deadMs = statSync(touched).mtimeMs;
    // What one round says it says at once; the next one comes after a second.
    await waitFor(() => lastFailedMs() > firstMs + 500, {
      what: 'another failed round',
      withinMs: 60_000,
    });
    expect(statSync(touched).mtimeMs).toBe(deadMs);
    await all.server.restart();
    await waitFor(() => statSync(touched).mtimeMs > deadMs, {
      what: 'a whole round again',
      withinMs: 60_000,
    });
    await dog.stop();
  });

  test('what cannot be brought back is tried again in rounds', async () => {
    await inTheMiddle();
    site.breakService('web');
    await temporal.workflow.getHandle(workflowId).terminate('by hand');
    const repair = temporal.workflow.getHandle('coldbackup-watchdog/mini/repair');
    const { runId: before } = await repair.describe();
    const ended = once();
    await waitFor(async () => (await repair.describe()).runId !== before, {
      what: 'it repairs',
      withinMs: 20_000,
    });
    await waitFor(
      async () =>
        (await repair.fetchHistory()).events?.some((event) => event.activityTaskFailedEventAttributes),
      { what: 'web could not be started', withinMs: 20_000 },
    );
    site.mendService('web');
    const { code, round } = await ended;
    expect(code).toBe(1);
    expect(round.sites[0]?.repaired).toMatchObject({
      undone: [
        { what: 'stop spare', did: 'was found stopped, left stopped' },
        { what: 'stop web', did: 'started' },
      ],
      notBack: [],
    });
    await untilFree();
    expect(await site.services()).toEqual(asFound);
  });

  test('a workflow task that fails is told since its first failure', async () => {
    const described = await waitFor(
      async () => {
        const now = await describeHolder(temporal, unknown.id);
        return now.kind === 'open' && (now.failing?.attempts ?? 0) >= 3 ? now : null;
      },
      { what: 'a third attempt', withinMs: 30_000 },
    );
    const sinceMs = Date.parse(described.failing?.since ?? '');
    expect(sinceMs - unknown.startedMs).toBeGreaterThanOrEqual(0);
    expect(sinceMs - unknown.startedMs).toBeLessThan(5_000);
    await temporal.workflow.getHandle(unknown.id).terminate('done');
    expect(await describeHolder(temporal, unknown.id)).toMatchObject({ kind: 'closed', how: 'terminated' });
    expect(await describeHolder(temporal, 'never-there')).toEqual({ kind: 'none' });
  });

  test('it knows whether a night began, and how its schedule is', async () => {
    const nights = openNights({ address: all.server.address });
    cleanup.add(() => nights.close());
    expect(await nights.schedule('mini', 'nightly')).toBeNull();
    expect(await nights.startedSince('mini', 'nightly', new Date(Date.now() - 3_600_000).toISOString())).toBe(
      true,
    );
    expect(await nights.startedSince('mini', 'nightly', new Date(Date.now() + 60_000).toISOString())).toBe(
      false,
    );
    expect(await nights.startedSince('mini', 'right', new Date(Date.now() - 3_600_000).toISOString())).toBe(
      false,
    );
    await library.applySchedules([withStart((await loadSite(site.file)).site)]);
    expect(await nights.schedule('mini', 'nightly')).toEqual({
      createdAt: expect.stringMatching(/^20/) as unknown as string,
      paused: null,
    });
    await library.pauseSchedule('mini', 'nightly', { by: 'ada', why: 'repairs' });
    expect((await nights.schedule('mini', 'nightly'))?.paused).toBe('repairs (ada)');
  });

  /** web is down, spare was found stopped; the run waits for a count that is 1. */
  async function inTheMiddle(): Promise<{ ended: Promise<Said> }> {
    site.setBusy(1);
    const ended = all.coldbackup('run', 'mini', 'nightly', '--wait', '--again');
    ended.catch(() => undefined);
    await waitFor(() => textOf(journalOf('app-1')).split('"r":"end"').length === 3, {
      what: 'web and spare are held down',
      withinMs: 60_000,
    });
    return { ended };
  }

  async function untilFree(dog?: Started): Promise<void> {
    await waitFor(() => site.hosts.every((host) => textOf(journalOf(host)) === ''), {
      what: 'the journals are closed',
      withinMs: 30_000,
    }).catch((error: unknown) => {
      throw new Error(dog?.output(), { cause: error });
    });
  }

  function journalOf(host: string): string {
    return join(site.state, 'mini', host, 'journal.jsonl');
  }

  /** As if the night had been to end some seconds ago; its agent must not be running. */
  function passUpBy(host: string): void {
    const text = readFileSync(journalOf(host), 'utf8');
    const upBy = new Date(Date.now() - 5_000).toISOString();
    writeFileSync(journalOf(host), text.replace(/"upBy":"[^"]+"/, `"upBy":"${upBy}"`));
  }

  async function startWatchdog(...options: string[]): Promise<Started> {
    const logFile = join(await cleanup.folder(), 'log');
    const patience = ['--every', '1s', '--grace', '1s', '--settle', '2s'];
    const dog = await cleanup.start([...main, 'watchdog', '--sites', site.sites, ...patience, ...options], {
      env: { TEMPORAL_ADDRESS: all.server.address },
      logFile,
    });
    await waitFor(() => dog.output().includes('watchdog ready'), {
      what: 'the watchdog',
      withinMs: 60_000,
      unless: () => (dog.exit() ? dog.output() : undefined),
    });
    return dog;
  }

  async function once(): Promise<{ code: number; round: WatchdogRound }> {
    const said = await all.coldbackup(
      'watchdog',
      '--sites',
      site.sites,
      '--once',
      '--json',
      '--settle',
      '1s',
    );
    return { code: said.code, round: JSON.parse(said.stdout) as WatchdogRound };
  }
});

function textOf(file: string): string {
  return existsSync(file) ? readFileSync(file, 'utf8') : '';
}

function withStart(site: Site): Site {
  const { nightly } = site.procedures;
  if (nightly === undefined) throw new Error('the site has no nightly');
  return { ...site, procedures: { nightly: { ...nightly, start: { days: ['mon'], at: '20:00' } } } };
}
