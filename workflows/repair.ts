import { ActivityFailure, ApplicationFailure } from '@temporalio/common';
import { CancellationScope, log, sleep } from '@temporalio/workflow';
import type { Entry, Ref } from '../model/ledger.ts';
import type { NotBack } from '../model/progress.ts';
import type { HostName } from '../model/site.ts';
import type { Repaired, RepairHost, RepairInput } from '../model/watchdog.ts';
import { agent } from './agents.ts';
import { messageOf } from './failures.ts';
import { hostsOf, nameOf, placeOf, undoOnce, undoWithinMs, type Undoer } from './undo.ts';

const by = 'watchdog';
const withinMs = 60_000;
/** Short: what is not back after these is looked at again by the watchdog's next rounds. */
const pausesMs = [5_000, 15_000];

/**
 * Brings back what the journals of these hosts say, for runs that are gone or stuck: takes over, undoes backwards, all
 * hosts of a run together, and releases. Deaf to cancels. A run that is still open is fenced, and left alone.
 */
export async function repair(input: RepairInput): Promise<Repaired> {
  return CancellationScope.nonCancellable(async () => {
    const holders = [...new Set(input.hosts.map(({ workflowId }) => workflowId))];
    const parts = await Promise.all(
      holders.map((holder) =>
        bringBackOf(
          input,
          input.hosts.filter(({ workflowId }) => workflowId === holder),
        ),
      ),
    );
    return {
      undone: parts.flatMap(({ undone }) => undone),
      notBack: parts.flatMap(({ notBack }) => notBack),
      leftTo: parts.flatMap(({ leftTo }) => leftTo),
    };
  });
}

async function bringBackOf(input: RepairInput, held: readonly RepairHost[]): Promise<Repaired> {
  const { undoer, undone, leftTo } = undoerOf(input, held);
  let notBack = await undoOnce(held.map(({ host }) => host).sort(), undoer);
  for (const pauseMs of pausesMs) {
    if (notBack.length === 0) break;
    await sleep(pauseMs, { summary: `before another round for ${hostsOf(notBack).join(', ')}` });
    notBack = await undoOnce(hostsOf(notBack), undoer);
  }
  return { undone, notBack, leftTo };
}

function undoerOf({ site, siteDigest, timing }: RepairInput, held: readonly RepairHost[]) {
  const reasons = new Map(held.map(({ host, why }) => [host, why]));
  const refs = new Map<HostName, Ref>(
    held.map(({ host, journal, epoch }) => [host, { site, host, journal, epoch, siteDigest }]),
  );
  const undone: Repaired['undone'][number][] = [];
  const leftTo: Repaired['leftTo'][number][] = [];
  const undoer: Undoer = { takeOver, undo, release };
  return { undoer, undone, leftTo };

  async function takeOver(host: HostName): Promise<readonly Entry[]> {
    const ref = refs.get(host);
    if (ref === undefined) return [];
    const { journal, epoch } = ref;
    const why = reasons.get(host) ?? '';
    try {
      const ask = agent(site, host, { summary: 'take over to bring back', withinMs, attempts: 2 });
      const taken = await ask.takeOver({ site, host, journal, epoch, by, why });
      refs.set(host, { ...ref, epoch: taken.epoch });
      return taken.entries;
    } catch (error) {
      if (!isFenced(error)) throw error;
      leave(host, error);
      return [];
    }
  }

  async function undo(entry: Entry): Promise<NotBack | null> {
    const { id, host, change } = entry;
    const ref = refs.get(host);
    if (ref === undefined) return null;
    try {
      const { did } = await agent(site, host, {
        summary: `undo: ${nameOf(change)}`,
        withinMs: undoWithinMs(timing, entry),
        attempts: 1,
      }).undoChange({ ref, id });
      undone.push({ id, what: nameOf(change), host, did });
      return null;
    } catch (error) {
      if (isFenced(error)) {
        leave(host, error);
        return null;
      }
      log.warn('a change could not be undone', { id, host, error: messageOf(error) });
      return { ...placeOf(entry), why: messageOf(error) };
    }
  }

  async function release(host: HostName): Promise<void> {
    const ref = refs.get(host);
    if (ref === undefined) return;
    try {
      await agent(site, host, { summary: 'release', withinMs }).release({ ref });
    } catch (error) {
      if (!isFenced(error)) throw error;
      leave(host, error);
    }
  }

  /** Whoever has it now brings it back. */
  function leave(host: HostName, error: unknown): void {
    refs.delete(host);
    leftTo.push({ host, why: messageOf(error) });
  }
}

function isFenced(error: unknown): boolean {
  return (
    error instanceof ActivityFailure &&
    error.cause instanceof ApplicationFailure &&
    error.cause.type === 'Fenced'
  );
}
