import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { createHostWorld } from '../activities/ledger/host-world.ts';
import { createJobs } from '../activities/ledger/jobs.ts';
import { openJournal } from '../activities/ledger/journal.ts';
import { createLedger } from '../activities/ledger/ledger.ts';
import { LockedError, lockFile, type Lock } from '../activities/system/lock.ts';
import { startTimeOf } from '../activities/system/processes.ts';
import type { LoadedSite } from '../config/load.ts';
import { undoOrder, walkUndo, type Entry } from '../model/ledger.ts';
import type { NotBack } from '../model/progress.ts';
import { agentFolder } from './agent.ts';

export interface RecoverOptions {
  readonly loaded: LoadedSite;
  readonly host: string;
  readonly stateFolder: string;
  /** Only says what would be done; ends no agent, changes nothing. */
  readonly dryRun: boolean;
  /** For people and journals: `recover (alice)`. */
  readonly by: string;
  readonly why: string;
  readonly logger: Logger;
  readonly onUndo: (entry: Entry, outcome: { did: string } | { error: string } | null) => void;
}

export interface Recovered {
  readonly held: boolean;
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
  const { loaded, host, stateFolder, dryRun, by, why, logger, onUndo } = options;
  const { site, digest } = loaded;
  const folder = agentFolder(stateFolder, site.site, host);
  const lock = dryRun ? null : await takeLock(folder, by, logger);
  const journal = openJournal(folder);
  try {
    const { claim } = journal.state();
    const signal = new AbortController().signal;
    const jobs = dryRun ? noJobs : createJobs(journal, () => new Date().toISOString());
    const ledger = createLedger({
      ...{ host, site, siteDigest: digest, journal, jobs, world: createHostWorld(site, host) },
      signal: () => signal,
      warn: (message, fields) => logger.warn(fields, message),
    });
    if (claim === null) return { held: false, undone: [], notBack: [] };
    if (dryRun) return { held: true, undone: await listed(ledger, site.site, host, onUndo), notBack: [] };
    const { epoch, entries } = await ledger.takeOver({
      site: site.site,
      host,
      journal: claim.journal,
      by,
      why,
      epoch: null,
    });
    const ref = { site: site.site, host, journal: claim.journal, epoch, siteDigest: digest };
    const undone: Entry[] = [];
    const notBack: NotBack[] = [];
    await walkUndo(undoOrder(entries), async (entry) => {
      onUndo(entry, null);
      try {
        const { did } = await ledger.undoChange({ ref, id: entry.id });
        undone.push(entry);
        onUndo(entry, { did });
      } catch (error) {
        const message = error instanceof Error ? error.message : 'unknown';
        notBack.push({ id: entry.id, what: entry.change.kind, host, why: message });
        onUndo(entry, { error: message });
      }
    });
    if (notBack.length === 0) await ledger.release({ ref });
    return { held: true, undone, notBack };
  } finally {
    journal.release();
    await lock?.release();
  }
}

const noJobs = { run: () => Promise.reject(new Error('dry run')), end: () => undefined };

async function listed(
  ledger: Pick<ReturnType<typeof createLedger>, 'readLedger'>,
  site: string,
  host: string,
  onUndo: RecoverOptions['onUndo'],
): Promise<readonly Entry[]> {
  const { held } = await ledger.readLedger({ site, host });
  const order: Entry[] = [];
  await walkUndo(undoOrder(held?.entries ?? []), async (entry) => {
    order.push(entry);
    onUndo(entry, null);
  });
  return order;
}

/** The agent holds the lock for as long as it lives: one that does not go when asked is ended, by its identity. */
async function takeLock(folder: string, by: string, logger: Logger): Promise<Lock> {
  const file = join(folder, 'lock');
  const deadline = Date.now() + 2 * agentGoesMs;
  for (let asked: 'SIGTERM' | 'SIGKILL' | null = null; ;) {
    try {
      return await lockFile(file, by);
    } catch (error) {
      if (!(error instanceof LockedError) || error.holder === null || Date.now() > deadline) throw error;
      const { pid, startTime } = error.holder;
      const wanted: 'SIGTERM' | 'SIGKILL' =
        asked === null ? 'SIGTERM' : Date.now() > deadline - agentGoesMs ? 'SIGKILL' : asked;
      if (wanted !== asked && startTimeOf(pid) === startTime) {
        logger.warn({ pid, signal: wanted }, 'the agent of this host is ended: recover owns the journal now');
        process.kill(pid, wanted);
        asked = wanted;
      }
      await sleep(100);
    }
  }
}
