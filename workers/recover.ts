import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { aliveAgeMs, isHung, showAlive } from '../activities/ledger/alive.ts';
import { aloneAtMs } from '../activities/ledger/alone.ts';
import { bringBackOnce } from '../activities/ledger/bring-back.ts';
import { createHostWorld } from '../activities/ledger/host-world.ts';
import { createJobs } from '../activities/ledger/jobs.ts';
import { openJournal, readJournalState } from '../activities/ledger/journal.ts';
import { createLedger } from '../activities/ledger/ledger.ts';
import { openEntries, type JournalState } from '../activities/ledger/records.ts';
import { LockedError, lockFile, type Lock } from '../activities/system/lock.ts';
import { isSuspended, startTimeOf } from '../activities/system/processes.ts';
import type { LoadedSite } from '../config/load.ts';
import { undoOrder, walkUndo, type Entry } from '../model/ledger.ts';
import type { NotBack } from '../model/progress.ts';
import type { Limits } from '../model/site.ts';
import { agentFolder } from './agent-folder.ts';

export interface RecoverOptions {
  readonly loaded: LoadedSite;
  readonly host: string;
  readonly stateFolder: string;
  /** Only says what would be done; ends no agent, changes nothing. */
  readonly dryRun: boolean;
  /** Does nothing unless the agent should have brought back alone by now, and is not there to do it. */
  readonly ifOverdue: boolean;
  /** For people and journals: `recover (alice)`. */
  readonly by: string;
  readonly why: string;
  readonly logger: Logger;
  readonly onUndo: (entry: Entry, outcome: { did: string } | { error: string } | null) => void;
}

export interface Recovered {
  readonly held: boolean;
  /** With `ifOverdue`: why nothing was done. */
  readonly leftAlone?: string;
  readonly undone: readonly Entry[];
  readonly notBack: readonly NotBack[];
}

/** A stopped or hanging agent is given this long to go before it is ended. */
const agentGoesMs = 5_000;

/**
 * Brings back what the journal of this host says, without Temporal and without the agent: takes the host over (the
 * agent is ended first, its system starts it again later), undoes backwards, releases the journal.
 */
export async function recoverHost(options: RecoverOptions): Promise<Recovered> {
  const { loaded, host, stateFolder, dryRun, ifOverdue, by, why, logger, onUndo } = options;
  const { site, digest } = loaded;
  const folder = agentFolder(stateFolder, site.site, host);
  if (dryRun) return listed(folder, onUndo);
  const reason = ifOverdue ? whyEarly(readJournalState(folder), site.limits, Date.now()) : null;
  if (reason !== null) return { ...free, ...reason };
  const taken = await takeLock(folder, { by, logger, fromTheLiving: !ifOverdue });
  if ('busy' in taken) return { ...free, held: true, leftAlone: taken.busy };
  const { lock } = taken;
  const alive = showAlive(folder);
  const journal = openJournal(folder);
  try {
    const signal = new AbortController().signal;
    const ledger = createLedger({
      ...{ host, site, siteDigest: digest, journal },
      jobs: createJobs(journal, () => new Date().toISOString()),
      world: createHostWorld(site, host),
      signal: () => signal,
      warn: (message, fields) => logger.warn(fields, message),
    });
    if (journal.state().claim === null) return free;
    const deps = { site, siteDigest: digest, host, journal, ledger, onUndo };
    return { held: true, ...(await bringBackOnce(deps, { by, why })) };
  } finally {
    journal.release();
    alive.stop();
    await lock.release();
  }
}

const free: Recovered = { held: false, undone: [], notBack: [] };

/** Reads only: the agent may be alive. */
async function listed(folder: string, onUndo: RecoverOptions['onUndo']): Promise<Recovered> {
  const state = readJournalState(folder);
  if (state.claim === null) return free;
  const undone: Entry[] = [];
  await walkUndo(undoOrder(openEntries(state)), async (entry) => {
    undone.push(entry);
    onUndo(entry, null);
  });
  return { held: true, undone, notBack: [] };
}

/** null: it is overdue. */
function whyEarly(
  state: JournalState,
  limits: Limits,
  nowMs: number,
): Pick<Recovered, 'held' | 'leftAlone'> | null {
  const atMs = aloneAtMs(state, limits);
  if (state.claim === null || atMs === null) return { held: false, leftAlone: 'nothing is held' };
  if (nowMs >= atMs) return null;
  const { procedure, night } = state.claim;
  const at = new Date(atMs).toISOString();
  return { held: true, leftAlone: `${procedure} of ${night} holds it, and is not overdue before ${at}` };
}

interface LockOptions {
  readonly by: string;
  readonly logger: Logger;
  /** Also from an owner that shows itself alive. */
  readonly fromTheLiving: boolean;
}

/**
 * The owner of a journal holds the lock for as long as it lives: one that does not go when asked is ended, by its
 * identity.
 */
async function takeLock(
  folder: string,
  { by, logger, fromTheLiving }: LockOptions,
): Promise<{ readonly lock: Lock } | { readonly busy: string }> {
  const file = join(folder, 'lock');
  const deadline = Date.now() + 2 * agentGoesMs;
  for (let asked: 'SIGTERM' | 'SIGKILL' | null = null; ;) {
    try {
      return { lock: await lockFile(file, by) };
    } catch (error) {
      if (!(error instanceof LockedError) || error.holder === null || Date.now() > deadline) throw error;
      const { pid, startTime, what } = error.holder;
      const ageMs = aliveAgeMs(folder, Date.now());
      if (!fromTheLiving && asked === null && ageMs !== null && !isHung(ageMs))
        return { busy: `${what} (process ${pid}) brings it back: it was alive ${seconds(ageMs)} ago` };
      const isDeaf: boolean = isSuspended(pid) || (asked !== null && Date.now() > deadline - agentGoesMs);
      const wanted: 'SIGTERM' | 'SIGKILL' = isDeaf ? 'SIGKILL' : (asked ?? 'SIGTERM');
      if (wanted !== asked && startTimeOf(pid) === startTime) {
        logger.warn(
          { pid, signal: wanted },
          `${what} (process ${pid}) is ended: recover owns the journal now`,
        );
        process.kill(pid, wanted);
        asked = wanted;
      }
      await sleep(100);
    }
  }
}

function seconds(durationMs: number): string {
  return `${Math.max(0, Math.round(durationMs / 1000))} s`;
}
