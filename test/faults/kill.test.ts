import { afterEach, describe, expect, test } from '@jest/globals';
import { createMiniSite, type MiniSite } from '../cli/mini-site.ts';
import { startAll, type Running, type Said } from '../cli/coldbackup.ts';
import { createCleanup, waitFor } from '../support/processes.ts';

/** Agent, control and server as processes of their own, killed and suspended in the middle of a run. */
describe('whatever dies on the way, every service is back', () => {
  const cleanup = createCleanup();
  afterEach(cleanup.run);

  test('the agent is killed while its host is down, and started again', async () => {
    const { site, all, ended } = await inTheMiddle();
    all.agents['app-1']?.kill('SIGKILL');
    await all.startAgent('app-1');
    site.setBusy(0);
    expect(await ended).toMatchObject({ code: 0 });
    await expectAsFound(site, all);
  });

  test('the agent is killed and nobody starts it: recover brings its host back, without Temporal', async () => {
    const { site, all, ended } = await inTheMiddle();
    all.agents['app-1']?.kill('SIGKILL');
    await all.server.kill('SIGKILL');
    expect(await recover(site, all)).toMatchObject({ code: 0 });
    expect(await site.services()).toEqual(asFound);
    void ended.catch(() => undefined);
  });

  test('a suspended agent is ended by recover, and changes nothing any more when it would wake', async () => {
    const { site, all, ended } = await inTheMiddle();
    all.agents['app-1']?.kill('SIGSTOP');
    expect(await recover(site, all)).toMatchObject({ code: 0 });
    expect(await site.services()).toEqual(asFound);
    await waitFor(() => all.agents['app-1']?.exit() !== undefined, {
      what: 'the agent is gone',
      withinMs: 10_000,
    });
    await all.startAgent('app-1');
    site.setBusy(0);
    expect((await ended).code).not.toBe(0); // fenced: the run no longer owns the host, and says so
    expect(await site.services()).toEqual(asFound);
  });

  test('control is killed in the middle, and another one goes on', async () => {
    const { site, all, ended } = await inTheMiddle();
    all.control.kill('SIGKILL');
    site.setBusy(0);
    await all.startControl();
    expect(await ended).toMatchObject({ code: 0 });
    await expectAsFound(site, all);
  });

  test('control is suspended, and goes on when it wakes', async () => {
    const { site, all, ended } = await inTheMiddle();
    all.control.kill('SIGSTOP');
    site.setBusy(0);
    all.control.kill('SIGCONT');
    expect(await ended).toMatchObject({ code: 0 });
    await expectAsFound(site, all);
  });

  test('the Temporal server is killed and started again on its database', async () => {
    const { site, all, ended } = await inTheMiddle();
    await all.server.kill('SIGKILL');
    site.setBusy(0);
    await all.server.restart();
    await ended;
    await waitFor(async () => same(await site.services(), asFound), {
      what: 'all is as found',
      withinMs: 90_000,
    });
    await expectAsFound(site, all);
  });

  /** Three services down, one of them found stopped; the run waits for a count that is 1. */
  async function inTheMiddle(): Promise<{ site: MiniSite; all: Running; ended: Promise<Said> }> {
    const site = await createMiniSite(cleanup);
    site.setBusy(1);
    const all = await startAll(cleanup, site, { dbFile: `${await cleanup.folder()}/temporal.db` });
    expect(await site.services()).toEqual(asFound);
    const ended = all.coldbackup('run', 'mini', 'nightly', '--wait');
    ended.catch(() => undefined);
    await waitFor(async () => (await site.services())['web'] === 'stopped', {
      what: 'web is down',
      withinMs: 60_000,
    });
    return { site, all, ended };
  }

  async function expectAsFound(site: MiniSite, all: Running): Promise<void> {
    expect(await site.services()).toEqual(asFound);
    const { stdout } = await all.coldbackup('ledger', 'mini', '--json');
    expect(
      (JSON.parse(stdout) as { view: { held: unknown } | null }[]).map(({ view }) => view?.held),
    ).toEqual([null, null]);
  }
});

const asFound = { web: 'running', worker: 'running', archive: 'running', spare: 'stopped' };

function recover(site: MiniSite, all: Running): Promise<Said> {
  return all.coldbackup('recover', '--site', site.file, '--host', 'app-1', '--state', site.state);
}

function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
