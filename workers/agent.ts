import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from '@temporalio/worker';
import type { Logger } from 'pino';
import { createAgentActivities } from '../activities/agent.ts';
import { attemptSignal, beatEveryMs, beating, progressTeller } from '../activities/beat.ts';
import { showAlive } from '../activities/ledger/alive.ts';
import { standAlone } from '../activities/ledger/alone.ts';
import { createHostWorld } from '../activities/ledger/host-world.ts';
import { openJournal } from '../activities/ledger/journal.ts';
import { lockFile } from '../activities/system/lock.ts';
import type { AgentActivities } from '../model/activities.ts';
import type { LoadedSite } from '../config/load.ts';
import { agentQueue } from '../workflows/messages.ts';
import { aborted } from './aborted.ts';
import { agentFolder } from './agent-folder.ts';
import { connectPatiently, identityOf, serverOptions, type Server } from './connection.ts';
import { version } from './version.ts';

export interface AgentOptions extends Server {
  readonly loaded: LoadedSite;
  readonly host: string;
  /** Of all sites and hosts of this machine. */
  readonly stateFolder: string;
  readonly logger: Logger;
  /** Ends the agent: tasks are given back, running copies go on for the next. */
  readonly signal: AbortSignal;
  readonly onReady?: () => void;
}

/**
 * The worker of one host: locks its journal, ends what an earlier agent left running, then polls the task queue of its
 * site and host only. Beside that, with or without Temporal, it brings the host back alone when that is overdue.
 *
 * @throws LockedError when another agent of this host is running.
 */
export async function runAgent({
  loaded,
  host,
  stateFolder,
  logger,
  signal,
  onReady,
  ...server
}: AgentOptions): Promise<void> {
  const { site, digest } = loaded;
  const folder = agentFolder(stateFolder, site.site, host);
  const lock = await lockFile(join(folder, 'lock'), `agent ${site.site}/${host}`);
  const alive = showAlive(folder);
  const journal = openJournal(folder);
  const ending = new AbortController();
  const ended = AbortSignal.any([signal, ending.signal]);
  let alone: Promise<void> | null = null;
  try {
    const activities = createAgentActivities({
      ...{ site, siteDigest: digest, host, journal, version },
      world: createHostWorld(site, host),
      signal: attemptSignal,
      ended,
      heartbeat: progressTeller,
      warn: (message, fields) => logger.warn(fields, message),
    });
    alone = standAlone({ site, siteDigest: digest, host, journal, ledger: activities, log: logger }, ended);
    await Promise.race([serve(activities), lockLost(lock.lost, folder)]);
  } finally {
    ending.abort();
    await Promise.race([alone, sleep(lastUndoMs, undefined, { ref: false })]);
    journal.release();
    alive.stop();
    await lock.release();
  }

  async function serve(activities: AgentActivities): Promise<void> {
    const connection = await connectPatiently(server, logger, ended);
    const worker = await Worker.create({
      connection,
      namespace: serverOptions(server).namespace,
      taskQueue: agentQueue(site.site, host),
      identity: identityOf(`agent ${site.site}/${host}`),
      activities: allBeating(activities),
      maxHeartbeatThrottleInterval: beatEveryMs,
      defaultHeartbeatThrottleInterval: beatEveryMs,
      shutdownGraceTime: '5s',
      shutdownForceTime: '15s',
    });
    logger.info({ host, queue: agentQueue(site.site, host) }, 'agent ready');
    onReady?.();
    await worker.runUntil(aborted(ended));
    await connection.close();
  }
}

/** An undo that the agent is in the middle of when it is asked to end. */
const lastUndoMs = 10_000;

/** Every activity beats for as long as it runs. */
function allBeating(activities: AgentActivities): object {
  return Object.fromEntries(
    Object.entries(activities).map(([name, activity]: [string, (input: never) => Promise<unknown>]) => [
      name,
      (input: never) => beating(() => activity(input), aboutOf(input)),
    ]),
  );
}

/** A change is known by its place in the plan: `1/app-1/web`. */
function aboutOf(input: { readonly id?: string } | undefined): unknown {
  return input?.id === undefined ? undefined : { of: input.id };
}

async function lockLost(lost: Promise<void>, folder: string): Promise<never> {
  await lost;
  throw new Error(`the lock on ${folder} was lost: another process may own the journal now`);
}
