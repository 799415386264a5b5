import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { runCommand } from '../../activities/system/command.ts';
import { createMiniSite } from '../cli/mini-site.ts';
import { main } from '../cli/coldbackup.ts';
import { createCleanup, waitFor } from '../support/processes.ts';
import { commandOf } from '../support/programs.ts';
import { startDevServer, type DevServer } from '../support/temporal.ts';

const cleanup = createCleanup();
afterAll(cleanup.run);

const anyExit = Array.from({ length: 256 }, (_, code) => code);
const run = async (argv: readonly [string, ...string[]], env: Record<string, string> = {}) => {
  const { exitCode, stdout, stderr } = await runCommand(argv, {
    env,
    acceptExit: anyExit,
    timeoutMs: 60_000,
  });
  return { exitCode, said: stdout + stderr };
};

describe('with-password.sh', () => {
  const script = resolve('deploy/temporal/with-password.sh');

  test('gives the password of the file to what it runs, and the arguments with it', async () => {
    const file = join(await cleanup.folder(), 'password');
    writeFileSync(file, 'a1b2c3\n');
    const { said, exitCode } = await run(
      ['bash', script, 'sh', '-c', 'echo "$POSTGRES_PWD $1"', 'sh', 'autosetup'],
      {
        POSTGRES_PASSWORD_FILE: file,
      },
    );
    expect({ said, exitCode }).toEqual({ said: 'a1b2c3 autosetup\n', exitCode: 0 });
  });

  test('starts nothing without a password, and says what to do', async () => {
    const { said, exitCode } = await run(['bash', script, 'echo', 'started'], {
      POSTGRES_PASSWORD_FILE: join(await cleanup.folder(), 'missing'),
    });
    expect(exitCode).toBe(1);
    expect(said).toContain('docs/docker-compose.md');
    expect(said).not.toContain('started');
  });
});

describe('beside a Temporal server', () => {
  let server: DevServer;
  beforeAll(async () => {
    server = await startDevServer();
    cleanup.add(() => server.stop());
  });

  test('search-attributes.sh registers what is missing, and does no harm when run again', async () => {
    const bin = join(await cleanup.folder(), 'bin');
    mkdirSync(bin);
    const [temporal = ''] = commandOf('temporal');
    symlinkSync(temporal, join(bin, 'temporal'));
    chmodSync(bin, 0o755);
    const env = {
      PATH: [bin, process.env['PATH'] ?? ''].join(delimiter),
      TEMPORAL_ADDRESS: server.address,
      TEMPORAL_NAMESPACE: 'default',
    };
    const script = resolve('deploy/temporal/search-attributes.sh');
    expect((await run(['bash', script], env)).exitCode).toBe(0);
    // The list is served from a cache that is refreshed now and then.
    await waitFor(
      async () => {
        const again = await run(['bash', script], env);
        expect(again.exitCode).toBe(0);
        return again.said.match(/Coldbackup\w+ is there/g)?.length === 4;
      },
      { what: 'all search attributes to be listed', withinMs: 60_000 },
    );
  });

  test('polls.mjs tells a control that asks for work from one that is not there', async () => {
    const polls = (): ReturnType<typeof run> =>
      run([process.execPath, resolve('deploy/control/polls.mjs')], { TEMPORAL_ADDRESS: server.address });
    expect((await polls()).exitCode).toBe(1);
    const { sites } = await createMiniSite(cleanup);
    await cleanup.start([...main, 'control', sites], { env: { TEMPORAL_ADDRESS: server.address } });
    await waitFor(async () => (await polls()).exitCode === 0, {
      what: 'control to poll',
      withinMs: 60_000,
    });
  });

  test('polls.mjs fails when Temporal does not answer', async () => {
    const { exitCode } = await run([process.execPath, resolve('deploy/control/polls.mjs')], {
      TEMPORAL_ADDRESS: '127.0.0.1:1',
    });
    expect(exitCode).not.toBe(0);
  });
});
