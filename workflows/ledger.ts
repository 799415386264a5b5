import { CancellationScope, log, workflowInfo } from '@temporalio/workflow';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import {
  undoOrder,
  walkUndo,
  type Change,
  type ChangeResult,
  type Entry,
  type Ref,
} from '../model/ledger.ts';
import type { NotBack, RestoredTarget } from '../model/progress.ts';
import type { HostName } from '../model/site.ts';
import { agent } from './agents.ts';
import { sleepUntil } from './clock.ts';
import { messageOf } from './failures.ts';
import { nowInstant, planOf, showNow, type Run } from './run.ts';
import { hostsOf, nameOf, placeOf, undoOnce, undoWithinMs } from './undo.ts';

export { messageOf };

/** Until the journal took the intent, over what the change itself needs. */
const allowanceMs = 60_000;
const firstPauseMs = 5_000;
const longestPauseMs = 5 * 60_000;

export interface WantedChange {
  readonly host: HostName;
  /** Under the step's id, see undoOrder. */
  readonly position: string;
  readonly change: Change;
  readonly withinMs: number;
  readonly step: string;
}

/** Asks a host to alter one thing; the agent journals it before it acts. */
export async function makeChange(run: Run, wanted: WantedChange): Promise<ChangeResult> {
  const { host, position, change, withinMs } = wanted;
  const allMs = withinMs + allowanceMs;
  const { applyChange } = agent(planOf(run).site, host, {
    summary: nameOf(change),
    withinMs: allMs,
    allWithinMs: allMs + allowanceMs,
  });
  const ref = refOf(run, host);
  const notAfter = new Date(Date.now() + allMs).toISOString();
  const id = `${position}@${host}`;
  const result = await applyChange({ ref, id, position, change, notAfter });
  if (result.outcome === 'done' && result.found.kind === 'service' && change.kind === 'service-stopped')
    noteDown(run, change.service, wanted, result.found.state);
  return result;
}

export function refOf(run: Run, host: HostName): Ref {
  const ref = run.refs.get(host);
  if (ref === undefined)
    throw ApplicationFailure.nonRetryable(`host ${host} is not claimed by this run`, 'Fenced');
  return ref;
}

/**
 * Brings back what was changed under `scope` before the night is over. A scope that cannot be closed wholly ends the
 * run: nothing further is changed, and bringing back goes on at the end.
 */
export function closeScope(run: Run, scope: string): Promise<void> {
  return closeScopes(run, [scope]);
}

/** Several as one: what is in them is brought back in the order that it has in the whole. */
export async function closeScopes(run: Run, scopes: readonly string[]): Promise<void> {
  const sealed = await Promise.all(
    scopes.flatMap((scope) =>
      [...run.refs].map(([host, ref]) =>
        agent(planOf(run).site, host, { summary: `close ${scope}`, withinMs: allowanceMs }).sealScope({
          ref,
          scope,
        }),
      ),
    ),
  );
  const failures: NotBack[] = [];
  await walkUndo(undoOrder(sealed.flat()), async (entry) => {
    const failure = await undoEntry(run, entry, 3);
    if (failure !== null) failures.push(failure);
  });
  if (failures.length === 0) return;
  // What ended it is the reason; bringing back goes on at the end all the same.
  if (CancellationScope.current().consideredCancelled)
    throw new CancelledFailure(`step ${scopes.join(', ')} was not closed`);
  throw ApplicationFailure.nonRetryable(
    `step ${scopes.join(', ')} could not be closed: ${failures.map(({ what, host, why }) => `${what} on ${host}: ${why}`).join('; ')}`,
    'ScopeOpen',
  );
}

/** Undo, always: in rounds, from the journals, until everything is as it was found or the hard limit has passed. */
export function bringBack(run: Run, why: string): Promise<void> {
  return CancellationScope.nonCancellable(async () => {
    let hosts = [...run.asked].sort();
    for (let round = 0; hosts.length > 0; round++) {
      if (round > 0) {
        if (Date.now() > Date.parse(planOf(run).hardLimit)) return;
        await beforeRound(run, round, hosts);
      }
      hosts = await bringBackOnce(run, hosts, why);
    }
  });
}

/** Longer from round to round; an operator who has mended something need not wait for it. */
async function beforeRound(run: Run, round: number, hosts: readonly HostName[]): Promise<void> {
  const done = showNow(run, 'undo', {
    step: 'bring-back',
    text: `round ${round + 1} for ${hosts.join(', ')}`,
    until: planOf(run).hardLimit,
    then: 'the journals keep the rest',
  });
  const pauseMs = Math.min(firstPauseMs * 2 ** (round - 1), longestPauseMs);
  const end = new Date(Date.now() + pauseMs).toISOString();
  run.bringBackPause = true;
  await sleepUntil(
    () => end,
    () => `bring-back: pause before round ${round + 1}`,
    () => !run.bringBackPause,
  );
  run.bringBackPause = false;
  done();
}

/** One round; returns the hosts that are still to be brought back. */
async function bringBackOnce(run: Run, hosts: readonly HostName[], why: string): Promise<HostName[]> {
  const notBack = await undoOnce(hosts, {
    takeOver: (host) => takeOver(run, host, why),
    undo: (entry) => undoEntry(run, entry, 1),
    release: (host) => releaseHost(run, host),
  });
  const left = hostsOf(notBack);
  run.notBack = notBack;
  for (const [key, { host }] of run.down) if (!left.includes(host)) run.down.delete(key);
  return left;
}

/** A host that was asked for a claim may hold it although no answer came: its journal tells. */
async function takeOver(run: Run, host: HostName, why: string): Promise<readonly Entry[]> {
  const { site, siteDigest } = planOf(run);
  const short = agent(site, host, { summary: 'take over to bring back', withinMs: allowanceMs, attempts: 2 });
  let ref = run.refs.get(host);
  if (ref === undefined) {
    const { held } = await short.readLedger({ site, host });
    if (held?.workflowId !== workflowInfo().workflowId) return [];
    ref = { site, host, siteDigest, journal: held.journal, epoch: held.epoch };
  }
  const { journal, epoch } = ref;
  try {
    const taken = await short.takeOver({
      site,
      host,
      journal,
      epoch,
      by: `run ${workflowInfo().runId}`,
      why,
    });
    run.refs.set(host, { ...ref, epoch: taken.epoch });
    return taken.entries;
  } catch (error) {
    const { held } = await short.readLedger({ site, host });
    if (held?.journal === journal) throw error;
    run.refs.delete(host);
    run.warnings.push(`${host} was brought back by somebody else`);
    return [];
  }
}

async function releaseHost(run: Run, host: HostName): Promise<void> {
  const ref = run.refs.get(host);
  if (ref === undefined) return;
  await agent(planOf(run).site, host, { summary: 'release', withinMs: allowanceMs }).release({ ref });
  run.refs.delete(host);
}

async function undoEntry(run: Run, entry: Entry, attempts: number): Promise<NotBack | null> {
  const { site } = planOf(run);
  const what = `undo: ${nameOf(entry.change)}`;
  const done = showNow(run, `undo ${entry.id}@${entry.host}`, {
    step: 'bring-back',
    text: `${entry.host}: ${what}`,
    until: null,
    then: null,
  });
  try {
    const withinMs = undoWithinMs(planOf(run).timing, entry);
    await agent(site, entry.host, { summary: what, withinMs, attempts }).undoChange({
      ref: refOf(run, entry.host),
      id: entry.id,
    });
    noteUp(run, entry);
    noteRestored(run, entry);
    return null;
  } catch (error) {
    log.warn('a change could not be undone', { id: entry.id, host: entry.host, error: messageOf(error) });
    return { ...placeOf(entry), why: messageOf(error) };
  } finally {
    done();
  }
}

/** Where the answer to a commit was lost, the journal tells. */
function noteRestored(run: Run, { change, host, committed = false }: Entry): void {
  if (change.kind !== 'data-moved-aside' || run.restore === null) return;
  const isMeant = (one: RestoredTarget) =>
    one.host === host && one.database === change.database && one.member === change.member;
  run.restore = {
    ...run.restore,
    committed: run.restore.committed || committed,
    targets: run.restore.targets.map((one) => (isMeant(one) && !committed ? { ...one, aside: [] } : one)),
  };
}

function noteDown(
  run: Run,
  service: string,
  { host, step }: WantedChange,
  found: 'running' | 'stopped',
): void {
  const key = `${service}@${host}`;
  run.found.set(key, found);
  if (found === 'running') run.down.set(key, { service, host, since: nowInstant(), step });
}

function noteUp(run: Run, { change, host, committed = false }: Entry): void {
  if (change.kind !== 'service-stopped') return;
  const key = `${change.service}@${host}`;
  const down = run.down.get(key);
  const downMs = down === undefined ? 0 : Date.now() - Date.parse(down.since);
  const before = run.downtimes.get(key)?.downMs ?? 0;
  const found = run.found.get(key) ?? 'running';
  run.downtimes.set(key, {
    ...{ service: change.service, host, downMs: before + downMs, found },
    ...(committed && found === 'stopped' && { started: true }),
  });
  run.down.delete(key);
}
