import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { locate } from '#components';
import { readJournalState } from '../activities/ledger/journal.ts';
import type { JournalState } from '../activities/ledger/records.ts';
import { ColdbackupClient } from '../client/index.ts';
import { checkoutPath } from '../demo/checkout.ts';
import { createCleanup } from '../demo/local/cleanup.ts';
import type { Started } from '../demo/local/processes.ts';
import { startDevServer, type DevServer } from '../demo/local/temporal.ts';
import { waitFor } from '../demo/local/wait.ts';
import { createApart, type Apart } from './apart.ts';
import { createLink, type Link } from './link.ts';
import { startShop } from './mongodb.ts';
import { startCluster } from './cluster.ts';
import { createChaosSite, hosts, type ChaosSite, type Host, type SiteKind } from './site.ts';
import { holdAliveLock } from '../demo/local/alive-lock.ts';

/** A whole site with all its processes; cells use it one after the other for as long as it is healthy. */
export interface Rig {
  readonly folder: string;
  readonly kind: SiteKind;
  readonly apart: Apart | null;
  readonly site: ChaosSite;
  readonly server: DevServer;
  readonly library: ColdbackupClient;
  readonly temporal: Client;
  /** Those that run now, or ran last. */
  readonly control: Started;
  readonly agents: Readonly<Record<Host, Started>>;
  readonly watchdog: Started | null;
  /** Between each agent and Temporal. */
  readonly links: Readonly<Record<Host, Link>>;
  startControl(options?: { readonly broken: boolean }): Promise<void>;
  startAgent(host: Host): Promise<void>;
  /** A second one, that nobody counts with. */
  startAnotherAgent(host: Host): Promise<Started>;
  /** All that the agent that runs now, or ran last, has logged. */
  logOf(host: Host): string;
  coldbackup(...args: string[]): Promise<Started>;
  /** As the systemd timer does. */
  recoverIfOverdue(host: Host): Promise<string>;
  journal(host: Host): JournalState;
  ensureWatchdog(wanted: boolean): Promise<void>;
  /** New agents that have not measured any night: a short night would not fit. */
  forgetMeasures(): Promise<void>;
  /** Why it can be used no more; null: it can. */
  broken(): string | null;
  end(options: { readonly keepFolder: boolean }): Promise<void>;
}

const main = [process.execPath, checkoutPath('dist/cli/main.js')];
const readyWithinMs = 90_000;

export async function createRig(kind: SiteKind = 'plain'): Promise<Rig> {
  const folder = mkdtempSync(join(tmpdir(), 'coldbackup-chaos-'));
  const cleanup = createCleanup();
  try {
    const alive = join(folder, 'alive');
    await holdAliveLock(cleanup, alive);
    const apart = kind === 'apart' ? await createApart(cleanup, folder) : null;
    const mongodb =
      kind === 'mongodb'
        ? await startShop(cleanup, folder, alive)
        : kind === 'sharded'
          ? await startCluster(cleanup, folder, alive)
          : null;
    const site = await createChaosSite(folder, { alive, apart, mongodb });
    const command = locate('temporal')?.command;
    if (command === undefined) throw new Error('no temporal. What to do: npm run setup');
    const server = await startDevServer({ command, dbFile: join(folder, 'temporal.db') });
    cleanup.add(() => server.stop());
    const library = await ColdbackupClient.connect({ address: server.address });
    // Never closed: a call that is tried again on a closed connection throws where nobody catches (SDK 1.24).
    const connection = await Connection.connect({ address: server.address });
    const temporal = new Client({ connection });
    return await startAll(folder, { kind, apart, site, server, library, temporal, cleanup });
  } catch (error) {
    await cleanup.run();
    throw error;
  }
}

async function startAll(
  folder: string,
  parts: Pick<Rig, 'kind' | 'apart' | 'site' | 'server' | 'library' | 'temporal'> & {
    readonly cleanup: ReturnType<typeof createCleanup>;
  },
): Promise<Rig> {
  const { cleanup, ...rig } = parts;
  const { apart, site, server } = rig;
  mkdirSync(join(folder, 'logs'));
  const linkOf = (host: Host) => createLink(server.address, apart?.gateway(host));
  const links = { 'app-1': await linkOf('app-1'), 'db-1': await linkOf('db-1') };
  for (const link of Object.values(links)) cleanup.add(() => link.close());
  let processes = 0;
  const logs = new Map<string, string>();
  const spawn = (name: string, argv: readonly string[], env: Readonly<Record<string, string>> = {}) => {
    const logFile = join(folder, 'logs', `${++processes}-${name}.log`);
    logs.set(name, logFile);
    return cleanup.start(argv, { env: { TEMPORAL_ADDRESS: server.address, ...env }, logFile });
  };
  const ready = async (name: string, argv: readonly string[], env?: Readonly<Record<string, string>>) => {
    const started = await spawn(name, argv, env);
    await waitFor(() => started.output().includes(' ready"'), {
      what: `${name} to be ready`,
      withinMs: readyWithinMs,
      unless: () => (started.exit() ? started.output() : undefined),
    });
    return started;
  };
  const on = (host: Host) => [...(apart?.on(host) ?? []), ...main];
  const agentOf = (host: Host) => [...on(host), 'agent', site.file, '--host', host, '--state', site.state];
  const envOf = (host: Host) => ({ TEMPORAL_ADDRESS: links[host].address, ...apart?.env(host) });
  const stateOf = (host: Host) => join(site.state, 'chaos', host);
  const startAgent = (host: Host) => ready(`agent-${host}`, agentOf(host), envOf(host));
  const control = ({ broken } = { broken: false }) =>
    ready('control', [
      ...[process.execPath, checkoutPath('dist/chaos/control.js'), site.sites],
      ...(broken ? ['broken'] : []),
    ]);
  const [firstControl, app, db] = await Promise.all([control(), startAgent('app-1'), startAgent('db-1')]);
  const now = {
    control: firstControl,
    agents: { 'app-1': app, 'db-1': db },
    watchdog: null as Started | null,
  };

  return {
    ...{ folder, ...rig, links },
    get control() {
      return now.control;
    },
    get agents() {
      return now.agents;
    },
    get watchdog() {
      return now.watchdog;
    },
    startControl: async (options) => void (now.control = await control(options)),
    startAgent: async (host) => void (now.agents[host] = await startAgent(host)),
    startAnotherAgent: (host) => spawn(`second-agent-${host}`, agentOf(host)),
    logOf: (host) => readFileSync(logs.get(`agent-${host}`) ?? '', 'utf8'),
    coldbackup: (...args) => spawn(args[0] ?? 'command', [...main, ...args]),
    recoverIfOverdue: async (host) => {
      const place = ['--site', site.file, '--state', site.state, '--host', host];
      const timer = await spawn(`recover-${host}`, [...on(host), 'recover', '--if-overdue', ...place]);
      await timer.exited;
      return timer.output();
    },
    journal: (host) => readJournalState(stateOf(host)),
    ensureWatchdog: async (wanted) => {
      if (wanted === (now.watchdog !== null)) return;
      const patience = ['--every', '1s', '--settle', '2s'];
      if (wanted)
        now.watchdog = await ready('watchdog', [...main, 'watchdog', '--sites', site.sites, ...patience]);
      else {
        await now.watchdog?.stop();
        now.watchdog = null;
      }
    },
    forgetMeasures: async () => {
      await Promise.all(
        hosts.map(async (host) => {
          await now.agents[host].stop();
          const file = join(stateOf(host), 'host.json');
          if (existsSync(file)) {
            const kept = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
            delete kept['broughtBackMs'];
            delete kept['stoppedMs'];
            writeFileSync(file, `${JSON.stringify(kept)}\n`, { mode: 0o600 });
          }
          now.agents[host] = await startAgent(host);
        }),
      );
    },
    broken: () => {
      const ended = [now.control, ...Object.values(now.agents)].find((started) => started.exit());
      return ended === undefined
        ? null
        : `${ended.command.slice(1, 6).join(' ')} has ended: ${ended.output()}`;
    },
    end: async ({ keepFolder }) => {
      for (const started of [now.control, now.watchdog, ...Object.values(now.agents)])
        started?.kill('SIGKILL');
      await cleanup.run();
      if (!keepFolder) rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
