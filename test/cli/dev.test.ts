import { afterAll, expect, test } from '@jest/globals';
import { freePort } from '../support/ports.ts';
import { createCleanup, isAlive, waitFor } from '../support/processes.ts';
import { commandOf } from '../support/programs.ts';
import { coldbackupAt, main } from './coldbackup.ts';
import { createMiniSite } from './mini-site.ts';

const cleanup = createCleanup();
afterAll(cleanup.run);

test('dev runs all on this machine, and Ctrl-C ends all', async () => {
  const site = await createMiniSite(cleanup);
  const [port, uiPort] = [await freePort(), await freePort()];
  const dev = await cleanup.start(
    [
      ...[...main, 'dev', site.file, '--state', site.state],
      ...['--port', String(port), '--ui-port', String(uiPort)],
    ],
    {
      logFile: `${await cleanup.folder()}/log`,
      env: { COLDBACKUP_TEMPORAL: commandOf('temporal')[0] ?? '' },
    },
  );
  await waitFor(() => dev.output().includes('Ctrl-C ends all'), {
    what: 'coldbackup dev',
    withinMs: 60_000,
    unless: () => (dev.exit() ? dev.output() : undefined),
  });
  expect(dev.output()).toContain(`Temporal   127.0.0.1:${port}, UI http://127.0.0.1:${uiPort}`);
  expect(dev.output()).toContain(`coldbackup --address 127.0.0.1:${port} run mini nightly --wait`);

  const coldbackup = coldbackupAt(`127.0.0.1:${port}`);
  const { code, stdout } = await coldbackup('run', 'mini', 'nightly', '--wait');
  expect([code, stdout]).toEqual([0, expect.stringContaining(' · complete\n')]);
  const ui = await fetch(`http://127.0.0.1:${uiPort}/`);
  expect(ui.status).toBe(200);

  dev.kill('SIGINT');
  expect(await dev.exited).toEqual({ code: 0, signal: null });
  expect(isAlive(dev.pid)).toBe(false);
  expect((await coldbackup('hosts', 'mini')).code).toBe(5);
  expect((await site.services())['web']).toBe('running');
});
