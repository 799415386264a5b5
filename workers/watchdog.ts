import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from '@temporalio/client';
import { Worker, type NativeConnection } from '@temporalio/worker';
import type { Logger } from 'pino';
import { watchdogQueue, type Alert, type Patience, type SiteRound } from '../model/watchdog.ts';
import { controlQueue } from '../workflows/messages.ts';
import { connectPatiently, identityOf, serverOptions, type Server } from './connection.ts';
import { workflowCode } from './control.ts';
import { createAlertLog } from './watchdog/alert-log.ts';
import type { NightFacts } from './watchdog/alerts.ts';
import { tellAlive, type Alive } from './watchdog/alive.ts';
import { createRepairs } from './watchdog/repairs.ts';
import { createSiteWatch } from './watchdog/round.ts';
import { watchSites } from './watchdog/sites.ts';

export interface WatchdogOptions extends Server, Alive {
  /** A folder of site files, or one file; read again at each round. */
  readonly sites: string;
  /** From the begin of a round to the next. */
  readonly everyMs: number;
  /** Over the defaults, and over the site files' grace. */
  readonly patience?: Partial<Patience>;
  readonly facts: NightFacts;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly onReady?: () => void;
}

export interface WatchdogRound {
  readonly sites: readonly SiteRound[];
  /** All of them, those of the sites included. */
  readonly alerts: readonly Alert[];
  /** What could not be looked at. */
  readonly errors: readonly string[];
}

/** Rounds until the signal; outlives its server. Needs no control. */
export async function runWatchdog(options: WatchdogOptions): Promise<void> {
  const { everyMs, logger, signal, onReady } = options;
  await asWorker(options, async (connection) => {
    const round = createRound(options, connection, false);
    logger.info({ queue: watchdogQueue, sites: options.sites, everyMs }, 'watchdog ready');
    onReady?.();
    while (!signal.aborted) {
      const beganMs = Date.now();
      await round();
      const pauseMs = Math.max(0, beganMs + everyMs - Date.now());
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
    }
  });
}

/** One round, and the end of what it repairs. */
export async function runWatchdogOnce(
  options: Omit<WatchdogOptions, 'everyMs' | 'onReady'>,
): Promise<WatchdogRound> {
  return asWorker(options, (connection) => createRound(options, connection, true)());
}

async function asWorker<T>(
  { logger, signal, ...server }: Server & Pick<WatchdogOptions, 'logger' | 'signal'>,
  work: (connection: NativeConnection) => Promise<T>,
): Promise<T> {
  const connection = await connectPatiently(server, logger, signal);
  const worker = await Worker.create({
    connection,
    namespace: serverOptions(server).namespace,
    taskQueue: watchdogQueue,
    identity: identityOf('watchdog'),
    ...workflowCode(),
    maxCachedWorkflows: 50,
    shutdownGraceTime: '5s',
  });
  try {
    return await worker.runUntil(() => work(connection));
  } finally {
    await connection.close();
  }
}

/** A repair that is awaited may take its time; all else is a matter of a minute. */
const roundWithinMs = 4 * 60_000;
const repairWithinMs = 60 * 60_000;
/** A worker polls at least once a minute. */
const servedWithinMs = 2 * 60_000;

/** A round that awaits its repairs is asked for by somebody: it answers, and logs nothing. */
function createRound(
  {
    sites,
    facts,
    patience = {},
    logger,
    touch,
    ping,
    ...server
  }: Omit<WatchdogOptions, 'everyMs' | 'signal'>,
  connection: NativeConnection,
  awaitsRepairs: boolean,
): () => Promise<WatchdogRound> {
  const client = new Client({ connection, namespace: serverOptions(server).namespace });
  const repairs = createRepairs(client, logger);
  const watchSite = createSiteWatch({ client, facts, repairs, patience, awaitsRepairs });
  const watched = watchSites(sites);
  const tellAlerts = createAlertLog(logger);

  return async () => {
    const withinMs = awaitsRepairs ? repairWithinMs : roundWithinMs;
    const round = await connection.withDeadline(Date.now() + withinMs, look).catch(nothing);
    if (!awaitsRepairs) {
      tellAlerts(round.alerts, Date.now());
      for (const error of round.errors) logger.error({ error }, 'the round is not whole');
    }
    if (round.errors.length === 0)
      await tellAlive(
        { ...(touch !== undefined && { touch }), ...(ping !== undefined && { ping }) },
        new Date().toISOString(),
        logger,
      );
    return round;
  };

  async function look(): Promise<WatchdogRound> {
    const loaded = await watched.read();
    const [control, ...rounds] = await Promise.all([
      controlAlerts(client),
      ...loaded.sites.map((site) => watchSite(site)),
    ]);
    return {
      sites: rounds,
      alerts: [...loaded.alerts, ...control, ...rounds.flatMap(({ alerts }) => alerts)],
      errors: rounds.flatMap(({ site, errors }) => errors.map((error) => `${site}: ${error}`)),
    };
  }
}

async function controlAlerts(client: Client): Promise<readonly Alert[]> {
  const { pollers } = await client.workflowService.describeTaskQueue({
    namespace: client.options.namespace,
    taskQueue: { name: controlQueue },
  });
  const since = Date.now() - servedWithinMs;
  if (pollers.some(({ lastAccessTime }) => Number(lastAccessTime?.seconds ?? 0) * 1000 > since)) return [];
  return [
    {
      site: '-',
      kind: 'control',
      subject: `queue ${controlQueue}`,
      text: 'nobody serves it: no night can begin, and an open run stands still. Start control: coldbackup control SITES',
    },
  ];
}

function nothing(error: unknown): WatchdogRound {
  return { sites: [], alerts: [], errors: [error instanceof Error ? error.message : String(error)] };
}
