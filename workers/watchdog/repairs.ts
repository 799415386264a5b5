import type { Client, WorkflowHandle } from '@temporalio/client';
import { WorkflowIdConflictPolicy, WorkflowIdReusePolicy } from '@temporalio/common';
import type { Logger } from 'pino';
import type { LoadedSite } from '../../config/load.ts';
import { watchdogQueue, type Repaired, type RepairHost, type RepairInput } from '../../model/watchdog.ts';
import { describeHolder } from './holder.ts';

export interface Repairs {
  /**
   * Starts the repair of these hosts, or joins the one of this site that runs: there is one at a time, whoever asks.
   * Answers once it runs. null: the same holds were not brought back by the last ones, and it is not time for another.
   */
  begin(loaded: LoadedSite, hosts: readonly RepairHost[]): Promise<RunningRepair | null>;
}

export interface RunningRepair {
  /** null: its end is not known, e.g. Temporal went away; the journals tell in the next round. */
  readonly ended: Promise<Repaired | null>;
}

/** A repair that is never done (its own workflow task fails) is given up after this. */
const longestMs = 4 * 60 * 60_000;
/** A repair whose workflow task was tried so often does not go on by itself. */
const hopelessAttempts = 10;
/** Between repairs that did not bring the same holds back; grows. */
const firstPauseMs = 60_000;
const longestPauseMs = 15 * 60_000;

export function createRepairs(client: Client, logger: Logger): Repairs {
  const running = new Map<string, RunningRepair>();
  const failed = new Map<string, { journals: string; pauseMs: number; nextMs: number }>();

  return {
    async begin(loaded, hosts) {
      const { site } = loaded.site;
      const joined = running.get(site);
      if (joined !== undefined) return joined;
      const journals = hosts
        .map(({ journal }) => journal)
        .sort()
        .join();
      const last = failed.get(site);
      if (last?.journals === journals && Date.now() < last.nextMs) return null;
      const handle = await start(loaded, hosts);
      logger.error(
        { site, hosts: hosts.map(({ host, why }) => ({ host, why })), workflowId: handle.workflowId },
        'services are down, and no run brings them back: the watchdog does',
      );
      const ended = endOf(site, handle).finally(() => running.delete(site));
      running.set(site, { ended });
      void ended.then((repaired) => {
        if (repaired === null) return;
        if (repaired.notBack.length === 0) return void failed.delete(site);
        const pauseMs =
          last?.journals === journals ? Math.min(last.pauseMs * 2, longestPauseMs) : firstPauseMs;
        failed.set(site, { journals, pauseMs, nextMs: Date.now() + pauseMs });
      });
      return { ended };
    },
  };

  async function start(loaded: LoadedSite, hosts: readonly RepairHost[]): Promise<WorkflowHandle> {
    const { site, digest } = loaded;
    const workflowId = `${watchdogQueue}/${site.site}/repair`;
    const before = await describeHolder(client, workflowId);
    const isHopeless = before.kind === 'open' && (before.failing?.attempts ?? 0) >= hopelessAttempts;
    const input: RepairInput = { site: site.site, siteDigest: digest, hosts, timing: timingOf(loaded) };
    return client.workflow.start('repair', {
      workflowId,
      taskQueue: watchdogQueue,
      args: [input],
      workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
      workflowIdConflictPolicy: isHopeless
        ? WorkflowIdConflictPolicy.TERMINATE_EXISTING
        : WorkflowIdConflictPolicy.USE_EXISTING,
      workflowExecutionTimeout: longestMs,
      staticSummary: `${site.site}: bring back ${hosts.map(({ host }) => host).join(', ')}`,
      staticDetails: hosts.map(({ host, why }) => `- **${host}**: ${why}`).join('\n'),
    });
  }

  async function endOf(site: string, handle: WorkflowHandle): Promise<Repaired | null> {
    const { workflowId } = handle;
    try {
      // Not the round's: a round does not wait for it.
      const deadline = Date.now() + longestMs;
      const repaired = (await client.withDeadline(deadline, () => handle.result())) as Repaired;
      const { undone, notBack, leftTo } = repaired;
      if (notBack.length > 0)
        logger.error({ site, workflowId, undone, notBack, leftTo }, 'repaired: NOT all is back');
      else logger.warn({ site, workflowId, undone, leftTo }, 'repaired: all is back');
      return repaired;
    } catch (error) {
      logger.error({ site, workflowId, err: error }, 'the end of the repair is not known');
      return null;
    }
  }
}

function timingOf({ site }: LoadedSite): RepairInput['timing'] {
  return Object.fromEntries(
    Object.entries(site.services).map(([name, { stopWithinMs, readyWithinMs }]) => [
      name,
      { stopWithinMs, readyWithinMs },
    ]),
  );
}
