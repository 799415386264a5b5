import { accessSync, constants, mkdirSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startProcess, type RunningProcess } from '../activities/system/command.ts';
import { searchAttributes } from '../workflows/messages.ts';
import { UsageError } from './errors.ts';

export interface DevServer {
  readonly address: string;
  readonly uiUrl: string;
  /** Rejects when the server ends by itself; resolves when the signal aborts. */
  ended(signal: AbortSignal): Promise<void>;
  stop(): Promise<void>;
}

export interface DevServerOptions {
  readonly port: string;
  readonly uiPort: string;
  /** Runs and their histories are kept here. */
  readonly state: string;
  readonly signal: AbortSignal;
}

const readyWithinMs = 60_000;

/** Temporal's development server, with the search attributes of the runs; it ends with this process. */
export async function startDevServer({ port, uiPort, state, signal }: DevServerOptions): Promise<DevServer> {
  mkdirSync(state, { recursive: true, mode: 0o700 });
  const argv = [
    // However this process ends, the kernel ends the server.
    ...(process.platform === 'linux' ? ['setpriv', '--pdeathsig', 'KILL', '--'] : []),
    ...[temporalProgram(), 'server', 'start-dev', '--ip', '127.0.0.1', '--log-level', 'error'],
    ...['--port', port, '--ui-port', uiPort, '--db-filename', join(state, 'temporal.db')],
    ...Object.values(searchAttributes).flatMap((name) => ['--search-attribute', `${name}=Keyword`]),
  ];
  const server = startProcess(argv);
  server.stdout.resume();
  const address = `127.0.0.1:${port}`;
  try {
    await untilReady(server, address, signal);
  } catch (error) {
    await server.kill();
    throw error;
  }
  return {
    address,
    uiUrl: `http://127.0.0.1:${uiPort}`,
    ended: (ending) =>
      Promise.race([
        diedOf(server),
        new Promise<void>((fulfil) => ending.addEventListener('abort', () => fulfil(), { once: true })),
      ]),
    stop: () => server.kill(),
  };
}

async function diedOf(server: RunningProcess): Promise<never> {
  const { exitCode, stderr } = await server.done;
  throw new Error(
    `the Temporal server ended with exit code ${exitCode}: ${stderr.trim().split('\n').slice(-5).join('\n')}`,
  );
}

async function untilReady(server: RunningProcess, address: string, signal: AbortSignal): Promise<void> {
  const { Connection } = await import('@temporalio/client');
  const connection = Connection.lazy({ address });
  const until = Date.now() + readyWithinMs;
  const answers = async (): Promise<void> => {
    for (;;) {
      try {
        await connection.withDeadline(Date.now() + 1_000, () =>
          connection.workflowService.countWorkflowExecutions({ namespace: 'default' }),
        );
        return;
      } catch (error) {
        if (Date.now() > until)
          throw new Error(`the Temporal server on ${address} does not answer`, { cause: error });
        await sleep(100, undefined, { signal });
      }
    }
  };
  try {
    await Promise.race([answers(), diedOf(server)]);
  } finally {
    await connection.close();
  }
}

/** As set-up finds it: COLDBACKUP_TEMPORAL, PATH, the cache folder. The package has no set-up: it installs nothing. */
function temporalProgram(): string {
  const { COLDBACKUP_TEMPORAL: own, PATH = '' } = process.env;
  const found = [
    own ?? '',
    ...PATH.split(delimiter).map((folder) => join(folder, 'temporal')),
    ...cached(),
  ].find(isExecutable);
  if (found === undefined)
    throw new UsageError(
      'the Temporal CLI is not there. Put "temporal" on PATH, or name it in COLDBACKUP_TEMPORAL; in a checkout: node scripts/setup.mjs temporal',
    );
  return found;
}

function cached(): readonly string[] {
  const { COLDBACKUP_CACHE, XDG_CACHE_HOME } = process.env;
  const cache = COLDBACKUP_CACHE ?? join(XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'coldbackup');
  try {
    const folders = readdirSync(cache).filter((name) => /^temporal-\d/.test(name));
    return folders.sort().map((name) => join(cache, name, 'temporal'));
  } catch {
    return [];
  }
}

function isExecutable(file: string): boolean {
  try {
    if (file === '') return false;
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
