import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Client, Connection } from '@temporalio/client';
import { ColdbackupClient } from '../../client/index.ts';
import { createCleanup, waitFor } from '../support/processes.ts';
import { main, startAll, type Coldbackup, type Running } from './coldbackup.ts';
import { createMiniSite, type MiniSite } from './mini-site.ts';

const asFound = { web: 'running', worker: 'running', archive: 'running', spare: 'stopped' };
const cleanup = createCleanup();
let site: MiniSite;
let all: Running;
let coldbackup: Coldbackup;
/** To wait quickly: a command takes a second of a processor to start. */
let client: ColdbackupClient;

beforeAll(async () => {
  site = await createMiniSite(cleanup);
  all = await startAll(cleanup, site);
  coldbackup = all.coldbackup;
  client = await ColdbackupClient.connect({ address: all.server.address });
  cleanup.add(() => client.close());
});
afterAll(cleanup.run);

/** Until the run has reached its wait, and has told what it sees. */
async function untilWaiting(busy: number): Promise<void> {
  const run = await client.active('mini');
  await waitFor(async () => (await client.look(run)).waits[0]?.last === String(busy), {
    what: 'the wait of the run',
    withinMs: 60_000,
  });
}

describe('before a run', () => {
  test('hosts says who is there', async () => {
    expect(await coldbackup('hosts', 'mini')).toEqual({
      code: 0,
      stdout: [
        'host    agent   version   site file   clock',
        'app-1   alive   0.1.0     same        same',
        'db-1    alive   0.1.0     same        same\n',
      ].join('\n'),
      stderr: '',
    });
  });

  test('plan has the steps and the go/no-go table', async () => {
    const { code, stdout } = await coldbackup('plan', 'mini', 'nightly');

    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^mini\/nightly {3}night \d{4}-\d\d-\d\d · from \d\d:\d\d · restart when done · up by/,
    );
    expect(stdout).toContain('\n1   stop web, spare\n');
    expect(stdout).toMatch(/\ngo: \d+ checks\n$/);
  });

  test('there is nothing to see, and that is said', async () => {
    expect((await coldbackup('sets', 'mini')).stdout).toBe('no sets\n');
    expect((await coldbackup('runs', 'mini')).stdout).toBe('no runs\n');
    expect((await coldbackup('ledger', 'mini')).stdout).toBe(
      'app-1   free: nothing is held\ndb-1   free: nothing is held\n',
    );
    expect(await coldbackup('watch', 'mini')).toEqual({
      code: 2,
      stdout: '',
      stderr:
        'coldbackup: no run of mini is active (active: none at all). Earlier runs: coldbackup runs mini\n',
    });
  });

  test('an unknown name is told with the known ones', async () => {
    const procedure = await coldbackup('run', 'mini', 'nigtly');
    expect(procedure.code).toBe(3);
    expect(procedure.stdout).toContain('Nothing was changed.');
    expect(procedure.stdout).toContain(
      'unknown procedure "nigtly": did you mean "nightly"? (site mini has: nightly, ',
    );

    expect(await coldbackup('hosts', 'mimi')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('unknown site "mimi"'),
    });
    expect(await coldbackup('sets', 'show', 'mini', '2020')).toMatchObject({
      code: 2,
      stderr: 'coldbackup: no set "2020"; mini has: none\n',
    });
  });

  test('a second agent of a host does not start', async () => {
    const { code, stderr } = await coldbackup('agent', site.file, '--host', 'app-1', '--state', site.state);

    expect(code).toBe(3);
    expect(stderr).toContain(
      `another agent of host app-1 is running: process ${all.agents['app-1']?.pid} (agent mini/app-1)`,
    );
  });
});

describe('a night', () => {
  test('that is waited for is told line by line, ends with the tables, and leaves a set', async () => {
    const { code, stdout, stderr } = await coldbackup('run', 'mini', 'nightly', '--wait');

    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^\d\d:\d\d:\d\d {2}mini\/nightly: \w+/);
    expect(stdout).toMatch(/\n\d\d:\d\d:\d\d {2}step 3 stop worker, archive: done \(\d/);
    expect(stdout).toMatch(/\nmini\/nightly {3}night .* · complete\n/);
    expect(stdout).toMatch(/\nweb {7}app-1 {3}\d.* {3}running\n/);
    expect(stdout).toMatch(/\nspare {5}app-1 {3}- +stopped, left stopped\n/);
    expect(await site.services()).toEqual(asFound);

    const id = /^(\d{4}-\S+) /m.exec(stdout)?.[1] ?? '';
    const sets = JSON.parse((await coldbackup('sets', 'mini', 'nightly', '--json')).stdout) as {
      set: { id: string };
    }[];
    expect(sets.map(({ set }) => set.id)).toEqual([id]);
    expect((await coldbackup('sets', 'show', 'mini', id.slice(0, 10))).stdout).toContain('tree/');
    expect(await coldbackup('sets', 'verify', 'mini', id)).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^every digest is right: 1 artifact, /),
    });
    expect((await coldbackup('runs', 'mini')).stdout).toContain('   complete   ');
    expect((await coldbackup('sets', 'pin', 'mini', id, '--by', 'ana', '--why', 'audit')).stdout).toBe(
      `pinned: ${id}\n`,
    );
    expect((await coldbackup('sets', 'mini')).stdout).toMatch(/ 1, pinned: audit \(ana\) +\S+ +-\n$/);
    expect(await coldbackup('prune', 'mini', '--dry-run')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(
        / stays +.*the newest complete set, pinned: audit \(ana\).*\n\n1 set stays, 0 would go/,
      ),
    });
    expect((await coldbackup('sets', 'unpin', 'mini', id)).stdout).toBe(`not pinned: ${id}\n`);
    expect((await coldbackup('prune', 'mini')).stdout).toMatch(/\n\n1 set stays, 0 gone \(0 B\)\n$/);
    expect(await coldbackup('sets', 'remove', 'mini', id, '--why', 'by mistake')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('there is no terminal to ask on: nothing was changed. Say --yes'),
    });
    expect(await coldbackup('sets', 'remove', 'mini', id, '--why', 'by mistake', '--yes')).toMatchObject({
      code: 3,
      stderr: `coldbackup: set ${id} is not removed from vault: it is the newest complete set; let a newer one be made first (coldbackup run mini nightly)\n`,
    });
  });

  test('that ran before is not run again by mistake', async () => {
    const { code, stdout } = await coldbackup('run', 'mini', 'nightly', '--wait', '--json');

    expect(code).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({ outcome: 'already-ran', services: [] });
    expect((await coldbackup('status', 'mini')).stdout).toContain(
      'this night was run before. Once more: --again',
    );
  });

  test('is seen while it waits, cannot be started twice, and is brought back by abort', async () => {
    site.setBusy(3);
    const started = await coldbackup('run', 'mini', 'nightly', '--again');
    expect(started.code).toBe(0);
    expect(started.stdout).toMatch(/^started as coldbackup\/mini\/nightly\nmini\/nightly {3}since /);

    await untilWaiting(3);
    const { stdout: status } = await coldbackup('status', 'mini');
    expect(status).toMatch(
      /^mini\/nightly {3}since \d\d:\d\d · restart when done · up by \d\d:\d\d \(9 h \d\d left\)\n/,
    );
    expect(status).toMatch(
      /\nnow {4}waiting for busy = 0 \(3 now\) {3}until \d\d:\d\d, then fail: all is brought back\n/,
    );
    expect(status).toMatch(/\ndown {3}1 service; longest web, \d+ (s|min) {8}not back: none\n/);
    expect(status).toContain(
      'do     coldbackup abort mini --why "…"   (brings 1 service back, at most 10 s)\n',
    );
    expect((await coldbackup('ledger', 'mini')).stdout).toMatch(
      /\n {2}service web +stopped +since \d\d:\d\d +found running\n/,
    );

    expect(await coldbackup('run', 'mini', 'nightly')).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(
        /mini\/nightly is already running since .* See: coldbackup status mini nightly\n$/,
      ),
    });

    const logFile = `${await cleanup.folder()}/watch`;
    const env = { TEMPORAL_ADDRESS: all.server.address };
    const watch = await cleanup.start([...main, 'watch', 'mini'], { env, logFile });
    await waitFor(() => watch.output().includes('waiting for busy = 0'), { what: 'watch', withinMs: 60_000 });
    expect(await coldbackup('abort', 'mini', '--why', 'wrong night', '--by', 'ada')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('accepted: '),
    });
    expect(await watch.exited).toEqual({ code: 1, signal: null });
    expect(readFileSync(logFile, 'utf8')).toContain('why: aborted by ada: wrong night');
    expect(await site.services()).toEqual(asFound);
  });

  test('that was started in the Temporal UI under any id is found, and a cancel there brings it back', async () => {
    site.setBusy(1);
    const connection = await Connection.connect({ address: all.server.address });
    cleanup.add(() => connection.close());
    const input = { site: 'mini', procedure: 'nightly', again: true };
    const handle = await new Client({ connection }).workflow.start('procedure', {
      ...{ workflowId: 'typed-by-hand', taskQueue: 'coldbackup', args: [input] },
    });

    expect((await coldbackup('status', 'mini', '--json')).stdout).toContain('"typed-by-hand"');
    expect((await coldbackup('run', 'mini', 'nightly')).stderr).toContain('(typed-by-hand)');
    await handle.cancel();
    await expect(handle.result()).rejects.toThrow();
    expect(await coldbackup('runs', 'mini', '--limit', '1')).toMatchObject({
      stdout: expect.stringContaining('   cancelled   cancelled in Temporal'),
    });
    expect(await site.services()).toEqual(asFound);
  });
});

describe('when the run cannot bring back', () => {
  test('a terminated run is called lost, and recover brings back what it left', async () => {
    site.setBusy(1);
    const waiting = coldbackup('run', 'mini', 'nightly', '--again', '--wait');
    await waitFor(() => client.active('mini'), { what: 'the run', withinMs: 60_000 });
    await untilWaiting(1);
    const connection = await Connection.connect({ address: all.server.address });
    cleanup.add(() => connection.close());
    await new Client({ connection }).workflow.getHandle('coldbackup/mini/nightly').terminate('by mistake');

    const lost = await waiting;
    expect(lost.code).toBe(4);
    expect(lost.stderr).toContain(
      'was terminated: none of its code ran, so what it had stopped may still be down',
    );
    expect((await coldbackup('runs', 'mini', '--limit', '1')).stdout).toContain('   lost');
    expect((await site.services())['web']).toBe('stopped');

    const recover = (host: string, ...more: string[]) =>
      coldbackup('recover', '--host', host, '--site', site.file, '--state', site.state, ...more);
    expect(await recover('app-1', '--dry-run')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(
        /service web: would be brought back\n[^]*dry run: 2 changes would be brought back on app-1\n$/,
      ),
    });
    expect((await site.services())['web']).toBe('stopped');

    const [recovered, other] = await Promise.all([recover('app-1'), recover('db-1')]);
    expect(recovered).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('all is back on app-1 (2 changes)'),
    });
    expect(other.code).toBe(0);
    expect(await site.services()).toEqual(asFound);
    // The agents were ended first; their service manager starts them again.
    expect(await all.agents['app-1']?.exited).toEqual({ code: 0, signal: null });
  });

  test('without control nothing is started, and an abort names recover', async () => {
    await Promise.all(site.hosts.map((host) => all.startAgent(host)));
    site.setBusy(1);
    expect((await coldbackup('run', 'mini', 'nightly', '--again')).code).toBe(0);
    all.control.kill('SIGKILL');
    await all.control.exited;

    const { code, stderr } = await coldbackup('abort', 'mini', '--why', 'no use');
    expect(code).toBe(5);
    expect(stderr).toContain('did not accept the abort within 10 s');
    expect(stderr).toContain('coldbackup recover --host NAME --site FILE');

    const control = await all.startControl();
    // The first word still counts for a minute: then the second comes too late.
    expect([0, 2, 3]).toContain((await coldbackup('abort', 'mini', '--why', 'again')).code);
    await waitFor(async () => (await client.runs('mini', { limit: 1 }))[0]?.state === 'cancelled', {
      what: 'the end of the run',
      withinMs: 60_000,
    });
    control.kill('SIGTERM');
    expect(await control.exited).toEqual({ code: 0, signal: null });
    expect(await site.services()).toEqual(asFound);
  });
});
