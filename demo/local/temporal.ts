import { Connection } from '@temporalio/client';
import { createCleanup } from './cleanup.ts';
import { freePort } from './ports.ts';
import { startProcess, type Started } from './processes.ts';
import { waitFor } from './wait.ts';

export interface DevServerOptions {
  /** How `temporal` is run: the start of its argument vector. */
  command: readonly string[];
  /** Keeps everything over a restart; without it all is in memory. */
  dbFile?: string;
  port?: number;
  /** Whether the web UI is served. */
  ui?: boolean;
  uiPort?: number;
  /** More arguments of `temporal server start-dev`: ['--search-attribute', 'Site=Keyword']. */
  args?: readonly string[];
}

/** A Temporal server for development, on 127.0.0.1, with the namespace `default`. */
export interface DevServer {
  readonly address: string;
  readonly uiUrl?: string;
  /** Of the process that runs now, or ran last. */
  readonly pid: number;
  /** Sends a signal and waits until the process is gone. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Stops it if it runs, and starts it again on the same ports and file. Throws without a file: all would be lost. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts Temporal's development server and waits until its namespace answers. */
export async function startDevServer(options: DevServerOptions): Promise<DevServer> {
  const cleanup = createCleanup();
  const port = options.port ?? (await freePort());
  const uiPort = options.ui ? (options.uiPort ?? (await freePort())) : undefined;
  const address = `127.0.0.1:${port}`;
  const command = [
    ...options.command,
    ...['server', 'start-dev', '--ip', '127.0.0.1', '--port', String(port), '--log-level', 'error'],
    ...(uiPort === undefined ? ['--headless'] : ['--ui-port', String(uiPort)]),
    ...(options.dbFile === undefined ? [] : ['--db-filename', options.dbFile]),
    ...(options.args ?? []),
  ];
  let server: Started;
  try {
    const logFile = `${await cleanup.folder()}/temporal.log`;
    const start = async () => {
      server = await startProcess(command, { logFile });
      cleanup.add(() => server.stop());
      await untilReady(server, address);
    };
    await start();
    return {
      address,
      ...(uiPort === undefined ? {} : { uiUrl: `http://127.0.0.1:${uiPort}` }),
      get pid() {
        return server.pid;
      },
      kill: async (signal) => {
        server.kill(signal);
        await server.exited;
      },
      restart: async () => {
        if (options.dbFile === undefined)
          throw new Error('a server in memory loses all at a restart: give it a dbFile');
        await server.stop();
        await start();
      },
      stop: cleanup.run,
    };
  } catch (error) {
    await cleanup.run();
    throw error;
  }
}

async function untilReady(server: Started, address: string): Promise<void> {
  const connection = Connection.lazy({ address });
  try {
    await waitFor(
      // Asks the visibility store: the namespace is described some time before work in it is accepted.
      () =>
        connection.withDeadline(Date.now() + 1000, () =>
          connection.workflowService.countWorkflowExecutions({ namespace: 'default' }),
        ),
      {
        what: `the Temporal server on ${address}`,
        withinMs: 30_000,
        unless: () =>
          server.exit() ? `it ended with ${JSON.stringify(server.exit())}: ${server.output()}` : undefined,
      },
    );
  } finally {
    await connection.close();
  }
}
