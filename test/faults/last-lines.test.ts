import {
  appendFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { afterEach, describe, expect, test } from '@jest/globals';
import { Client, Connection } from '@temporalio/client';
import { createHostWorld } from '../../activities/ledger/host-world.ts';
import { createJobs } from '../../activities/ledger/jobs.ts';
import { openJournal } from '../../activities/ledger/journal.ts';
import { createLedger } from '../../activities/ledger/ledger.ts';
import { runCommand } from '../../activities/system/command.ts';
import { loadSite } from '../../config/load.ts';
import type { Report } from '../../model/progress.ts';
import { coldbackupAt, main, startAll, type Running } from '../cli/coldbackup.ts';
import { createMiniSite, type MiniSite } from '../cli/mini-site.ts';
import { startUserManager } from '../support/systemd.ts';
import { startDevServer } from '../support/temporal.ts';
import { createCleanup, waitFor, type Started } from '../support/processes.ts';

/** Who brings back when the run does not: real agents as processes, real services; each is started exactly once. */
describe('the last lines', () => {
  const cleanup = createCleanup();
  afterEach(cleanup.run);

  test('an agent that never reached Temporal brings its host back alone at up-by and grace, and not before', async () => {
    const site = await impatientSite();
    const before = site.starts();
    const instant = await stopByHand(site, 'app-1', ['web', 'spare'], 1_000);
    expect(await site.services()).toEqual({ ...asFound, web: 'stopped' });
    const agent = await startAgent(site, 'app-1');
    await isBack(site);
    const [closed] = closedJournals(site, 'app-1');
    expect(closed?.find(({ by }) => by === 'agent alone')).toMatchObject({ r: 'epoch', epoch: 2 });
    expect(Date.parse(closed?.find(({ by }) => by === 'agent alone')?.at ?? '')).toBeGreaterThanOrEqual(
      instant,
    );
    expect(site.starts()).toEqual({ ...before, web: startsOf(before, 'web') + 1 });
    agent.kill('SIGTERM');
    expect(await agent.exited).toMatchObject({ code: 0 });
    const late = await overdue(site, 'app-1');
    expect(late).toMatchObject({ code: 0, stdout: expect.stringContaining('nothing is held') as unknown });
  });

  test('recover --if-overdue leaves it to time and to an agent that is alive, and ends one that is suspended', async () => {
    const site = await impatientSite();
    const before = site.starts();
    const instant = await stopByHand(site, 'app-1', ['web'], 12_000);
    const early = await overdue(site, 'app-1');
    expect(early).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('is not overdue before') as unknown,
    });

    const agent = await startAgent(site, 'app-1');
    agent.kill('SIGSTOP');
    await waitFor(() => Date.now() > instant, { what: 'the instant is past', withinMs: 20_000 });
    const alive = await overdue(site, 'app-1');
    expect(alive).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('brings it back: it was alive') as unknown,
    });
    expect(await site.services()).toEqual({ ...asFound, web: 'stopped' });

    const aMinuteAgo = Date.now() / 1000 - 61;
    utimesSync(join(site.state, 'mini', 'app-1', 'alive'), aMinuteAgo, aMinuteAgo);
    const acted = await overdue(site, 'app-1');
    expect(acted).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('all is back on app-1') as unknown,
    });
    expect(await site.services()).toEqual(asFound);
    agent.kill('SIGCONT');
    expect(await agent.exited).toBeDefined();
    expect(site.starts()).toEqual({ ...before, web: startsOf(before, 'web') + 1 });
  });

  test('recover --if-overdue brings back at once where the agent is gone', async () => {
    const site = await impatientSite();
    const instant = await stopByHand(site, 'app-1', ['web'], 0);
    const agent = await startAgent(site, 'app-1');
    agent.kill('SIGKILL');
    await agent.exited;
    await waitFor(() => Date.now() > instant, { what: 'the instant is past', withinMs: 10_000 });
    await waitFor(async () => (await overdue(site, 'app-1')).stdout.includes('free'), {
      what: 'all is back',
      withinMs: 20_000,
    });
    expect(await site.services()).toEqual(asFound);
  });

  test('the units under a real systemd: the timer brings back, and what was started outlives it', async () => {
    const site = await impatientSite();
    await stopByHand(site, 'app-1', ['web'], 0);
    const manager = await startUserManager();
    cleanup.add(() => manager.stop());
    const env = join(manager.folder, 'mini.env');
    writeFileSync(env, `SITE_FILE=${site.file}\nHOST=app-1\nPATH=${process.env['PATH'] ?? ''}\n`);
    const unit = (name: string) => readFileSync(join('deploy/systemd', name), 'utf8');
    manager.writeUnit(
      'coldbackup-recover@.service',
      unit('coldbackup-recover@.service')
        .replace('/etc/coldbackup/%i.env', env)
        .replace('/usr/local/bin/coldbackup', main.join(' '))
        .replace('/var/lib/coldbackup', site.state),
    );
    manager.writeUnit(
      'coldbackup-recover@.timer',
      unit('coldbackup-recover@.timer').replace('*:0/5', '*:*:*').replace('15s', '1ms'),
    );
    await manager.reload();
    await manager.systemctl('start', 'coldbackup-recover@mini.timer');
    await isBack(site);
    await waitFor(
      async () => (await manager.systemctl('is-active', 'coldbackup-recover@mini.service')).exitCode !== 0,
      { what: 'the unit has ended', withinMs: 20_000 },
    );
    expect(await site.services()).toEqual(asFound);
  });

  test('a disk that is full under the journal keeps no agent from starting, nor from bringing back alone', async () => {
    const site = await impatientSite();
    await runCommand(['mount', '-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', site.state]);
    cleanup.add(() => runCommand(['umount', '--lazy', site.state]));
    await stopByHand(site, 'app-1', ['web', 'spare'], 0);
    const rubbish = join(site.state, 'rubbish');
    expect(() => writeFileSync(rubbish, Buffer.alloc(1024 * 1024))).toThrow('ENOSPC');
    const agent = await startAgent(site, 'app-1');
    await waitFor(async () => same(await site.services(), asFound), {
      what: 'all is back',
      withinMs: 20_000,
    });
    expect(agent.exit()).toBeUndefined();
    expect(isFree(site, 'app-1')).toBe(false);
    rmSync(rubbish);
    await isBack(site);
    expect(site.starts()['web']).toBe(2);
  });

  test('recover by hand ends whoever is at it: an agent that brings back alone, and another recover', async () => {
    const site = await impatientSite();
    const before = site.starts();
    await stopByHand(site, 'app-1', ['web'], 0);
    // Whoever starts web waits for this.
    const slow = await cleanup.start([
      'flock',
      join(dirname(site.sites), 'services/web/lock'),
      'sleep',
      '60',
    ]);
    const agent = await startAgent(site, 'app-1');
    await waitFor(() => agent.output().includes('agent alone: undo'), {
      what: 'the agent is at it',
      withinMs: 20_000,
    });
    const byHand = [...main, 'recover', ...placeOf(site, 'app-1')];
    const first = await startReady(byHand, {}, 'service web …');
    expect(await agent.exited).toBeDefined();
    first.kill('SIGSTOP');
    const timer = await overdue(site, 'app-1');
    expect(timer.stdout).toMatch(/nothing is done: recover \(.*brings it back: it was alive/);
    await slow.stop();
    const second = await coldbackupAt()('recover', ...placeOf(site, 'app-1'));
    expect(second).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('all is back on app-1') as unknown,
    });
    expect(await first.exited).toMatchObject({ signal: 'SIGKILL' });
    expect(await site.services()).toEqual(asFound);
    expect(site.starts()).toEqual({ ...before, web: startsOf(before, 'web') + 1 });
  });

  test('the server is gone past up-by and grace: agents bring back alone, and runs that come back later change nothing', async () => {
    const site = await impatientSite();
    site.setBusy(1);
    const before = site.starts();
    const server = await startDevServer({ dbFile: `${await cleanup.folder()}/temporal.db` });
    cleanup.add(() => server.stop());
    const env = { TEMPORAL_ADDRESS: server.address };
    const control = [process.execPath, resolve('test/faults/soon-control.mjs'), site.sites, '12'];
    await Promise.all([
      startReady(control, env, ' ready"'),
      startReady(agentOf(site, 'app-1'), env, ' ready"'),
      startReady(agentOf(site, 'db-1'), env, ' ready"'),
    ]);
    const connection = await Connection.connect({ address: server.address });
    cleanup.add(() => connection.close());
    const { workflow } = new Client({ connection });
    const runs = await Promise.all(
      ['left', 'right'].map((procedure) =>
        workflow.start('procedure', {
          taskQueue: 'coldbackup',
          workflowId: procedure,
          args: [{ site: 'mini', procedure }],
        }),
      ),
    );
    await waitFor(
      async () => same(await site.services(), { ...asFound, web: 'stopped', archive: 'stopped' }),
      {
        what: 'web and archive are down',
        withinMs: 20_000,
      },
    );
    await server.kill('SIGKILL');
    await isBack(site);
    for (const host of site.hosts)
      expect(closedJournals(site, host)[0]?.map(({ by }) => by)).toContain('agent alone');

    await server.restart();
    const reports = await Promise.all(runs.map((run) => reportOf(run.result())));
    for (const { warnings, notBack, sets, outcome } of reports) {
      expect(warnings.join()).toMatch(/(app|db)-1 was brought back by somebody else/);
      expect([outcome, notBack, sets]).toEqual(['incomplete', [], []]);
    }
    expect(await site.services()).toEqual(asFound);
    expect(site.starts()).toEqual({
      ...before,
      web: startsOf(before, 'web') + 1,
      archive: startsOf(before, 'archive') + 1,
    });
  });

  test('a run that is reset in the middle ends with everything as found, each service stopped and started once', async () => {
    const site = await createMiniSite(cleanup);
    site.setBusy(1);
    const before = site.starts();
    const all = await startAll(cleanup, site);
    const { workflow, connection } = await clientOf(all);
    const run = await workflow.start('procedure', {
      taskQueue: 'coldbackup',
      workflowId: 'left',
      args: [{ site: 'mini', procedure: 'left' }],
    });
    await waitFor(async () => (await site.services())['web'] === 'stopped', {
      what: 'web is down',
      withinMs: 60_000,
    });
    const { events } = await run.fetchHistory();
    const first = events?.find(({ workflowTaskCompletedEventAttributes: done }) => done)?.eventId;
    if (first == null) throw new Error('the run has no workflow task');
    await connection.workflowService.resetWorkflowExecution({
      namespace: 'default',
      workflowExecution: { workflowId: 'left', runId: run.firstExecutionRunId },
      reason: 'by hand in the Temporal UI',
      workflowTaskFinishEventId: first,
      requestId: 'reset-once',
    });
    await waitFor(async () => (await view(all))?.epoch === 2, {
      what: 'the new run has adopted the host',
      withinMs: 60_000,
    });
    site.setBusy(0);
    const report = await reportOf(workflow.getHandle('left').result());
    expect(report).toMatchObject({ outcome: 'complete', notBack: [] });
    expect(report.warnings.join()).toContain('its holds were adopted');
    expect(await site.services()).toEqual(asFound);
    expect(site.starts()).toEqual({ ...before, web: startsOf(before, 'web') + 1 });
    expect(await view(all)).toBeNull();
  });

  async function impatientSite(): Promise<MiniSite> {
    const site = await createMiniSite(cleanup);
    appendFileSync(site.file, 'limits: { grace: 1s }\n');
    return site;
  }

  /** What a run does on a host, up to here: claims it, and stops these. @returns when the agent acts alone. */
  async function stopByHand(
    mini: MiniSite,
    host: string,
    names: readonly string[],
    upByMs: number,
  ): Promise<number> {
    const { site, digest: siteDigest } = await loadSite(mini.file);
    const journal = openJournal(join(mini.state, 'mini', host));
    const ledger = createLedger({
      ...{ host, site, siteDigest, journal, world: createHostWorld(site, host) },
      jobs: createJobs(journal, () => new Date().toISOString()),
      signal: () => new AbortController().signal,
      warn: () => undefined,
    });
    // Stops are quick, and refused once the instant has passed.
    const upBy = new Date(Date.now() + upByMs + 2_000).toISOString();
    const { journal: id, epoch } = await ledger.claim({
      ...{ protocol: 1, site: 'mini', host, siteDigest, procedure: 'nightly', workflowId: 'w', runId: 'r' },
      ...{ night: '2026-11-21', again: false, holds: names.map((name) => `service/${name}`) },
      ...{ upBy, hardLimit: upBy },
    });
    const ref = { site: 'mini', host, journal: id, epoch, siteDigest };
    for (const [index, service] of names.entries())
      await ledger.applyChange({
        ...{ ref, id: `${index}`, position: `${index}`, change: { kind: 'service-stopped', service } },
        notAfter: upBy,
      });
    journal.release();
    return Date.parse(upBy) + 1_000;
  }

  /** Nobody answers where it looks for Temporal. */
  function startAgent(site: MiniSite, host: string): Promise<Started> {
    return startReady(agentOf(site, host), { TEMPORAL_ADDRESS: '127.0.0.1:1' }, 'Temporal does not answer');
  }

  function agentOf(site: MiniSite, host: string): readonly string[] {
    return [...main, 'agent', site.file, '--host', host, '--state', site.state];
  }

  async function startReady(
    command: readonly string[],
    env: Record<string, string>,
    word: string,
  ): Promise<Started> {
    const started = await cleanup.start(command, { env, logFile: `${await cleanup.folder()}/log` });
    await waitFor(() => started.output().includes(word), {
      what: `${command.slice(1).join(' ')}: ${word}`,
      withinMs: 60_000,
      unless: () => (started.exit() ? started.output() : undefined),
    });
    return started;
  }

  function overdue(site: MiniSite, host: string) {
    return coldbackupAt()('recover', '--if-overdue', ...placeOf(site, host));
  }

  function placeOf(site: MiniSite, host: string): readonly string[] {
    return ['--site', site.file, '--state', site.state, '--host', host];
  }

  async function isBack(site: MiniSite): Promise<void> {
    await waitFor(async () => same(await site.services(), asFound), {
      what: 'all is back',
      withinMs: 40_000,
    });
    await waitFor(() => site.hosts.every((host) => isFree(site, host)), {
      what: 'all journals are empty',
      withinMs: 20_000,
    });
  }

  async function clientOf(all: Running) {
    const connection = await Connection.connect({ address: all.server.address });
    cleanup.add(() => connection.close());
    return { connection, workflow: new Client({ connection }).workflow };
  }
});

const asFound = { web: 'running', worker: 'running', archive: 'running', spare: 'stopped' };

function startsOf(starts: Readonly<Record<string, number>>, name: string): number {
  return starts[name] ?? 0;
}

function isFree(site: MiniSite, host: string): boolean {
  const file = join(site.state, 'mini', host, 'journal.jsonl');
  return !existsSync(file) || readFileSync(file, 'utf8') === '';
}

interface Line {
  readonly r: string;
  readonly by?: string;
  readonly at: string;
}

function closedJournals(site: MiniSite, host: string): readonly (readonly Line[])[] {
  const folder = join(site.state, 'mini', host, 'closed');
  return readdirSync(folder).map((name) =>
    readFileSync(join(folder, name), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Line),
  );
}

/** Of a run that ended well, or not. */
async function reportOf(result: Promise<unknown>): Promise<Report> {
  try {
    return (await result) as Report;
  } catch (error) {
    const details = (error as { cause?: { details?: readonly unknown[] } }).cause?.details;
    if (details?.[0] === undefined) throw error;
    return details[0] as Report;
  }
}

async function view(all: Running): Promise<{ readonly epoch: number } | null> {
  const { stdout } = await all.coldbackup('ledger', 'mini', '--json');
  const hosts = JSON.parse(stdout) as { host: string; view: { held: { epoch: number } | null } | null }[];
  return hosts.find(({ host }) => host === 'app-1')?.view?.held ?? null;
}

function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
