import { resolve } from 'node:path';
import { runCommand } from '../../activities/system/command.ts';
import { searchAttributes } from '../../workflows/messages.ts';
import { waitFor, type Cleanup, type Started } from '../support/processes.ts';
import { startDevServer, type DevServer } from '../support/temporal.ts';
import type { MiniSite } from './mini-site.ts';

export const main = [process.execPath, resolve('dist/cli/main.js')];

export interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export type Coldbackup = (...args: string[]) => Promise<Said>;

/** The command as a user runs it, off a terminal; `signal` ends what still runs: `run --wait` outlives its server. */
export function coldbackupAt(address?: string, signal?: AbortSignal, timeoutMs = 110_000): Coldbackup {
  return async (...args) => {
    const { exitCode, stdout, stderr } = await runCommand([...main, ...args], {
      env: address === undefined ? {} : { TEMPORAL_ADDRESS: address },
      acceptExit: Array.from({ length: 256 }, (_, code) => code),
      timeoutMs,
      ...(signal && { signal }),
    });
    return { code: exitCode, stdout, stderr };
  };
}

export interface Running {
  readonly server: DevServer;
  readonly coldbackup: Coldbackup;
  readonly control: Started;
  readonly agents: Readonly<Record<string, Started>>;
  startControl(): Promise<Started>;
  startAgent(host: string): Promise<Started>;
}

/** A server, control, and an agent for each host, as processes of their own. */
export async function startAll(
  cleanup: Cleanup,
  site: Pick<MiniSite, 'file' | 'sites' | 'state' | 'hosts'>,
  options: { readonly dbFile?: string } = {},
): Promise<Running> {
  const server = await startDevServer({
    ...options,
    args: Object.values(searchAttributes).flatMap((name) => ['--search-attribute', `${name}=Keyword`]),
  });
  cleanup.add(() => server.stop());
  const env = { TEMPORAL_ADDRESS: server.address };
  const start = async (...args: string[]) => {
    const logFile = `${await cleanup.folder()}/log`;
    const started = await cleanup.start([...main, ...args], { env, logFile });
    await waitFor(() => started.output().includes(' ready"'), {
      what: `coldbackup ${args.join(' ')}`,
      withinMs: 60_000,
      unless: () => (started.exit() ? started.output() : undefined),
    });
    return started;
  };
  const startControl = () => start('control', site.sites);
  const startAgent = (host: string) => start('agent', site.file, '--host', host, '--state', site.state);
  const ending = new AbortController();
  const running = new Set<Promise<unknown>>();
  cleanup.add(async () => {
    ending.abort();
    await Promise.allSettled(running);
  });
  const coldbackup = coldbackupAt(server.address, ending.signal);
  const [control, ...agents] = await Promise.all([startControl(), ...site.hosts.map(startAgent)]);
  return {
    ...{ server, control, startControl, startAgent },
    agents: Object.fromEntries(site.hosts.map((host, index) => [host, agents[index] ?? control])),
    coldbackup: (...args) => {
      const said = coldbackup(...args);
      running.add(said);
      return said;
    },
  };
}
