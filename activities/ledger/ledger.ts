import { randomUUID } from 'node:crypto';
import { durationWords } from '../../config/duration.ts';
import type { ExtendInput, LedgerActivities, LedgerView, WaitResult } from '../../model/activities.ts';
import { inScope } from '../../model/ledger.ts';
import type {
  Change,
  ChangeRequest,
  ChangeResult,
  ClaimRequest,
  ClaimResult,
  Entry,
  Found,
  Ref,
  Restored,
  UndoResult,
} from '../../model/ledger.ts';
import type { Instant } from '../../model/plan.ts';
import type { HostName, Site } from '../../model/site.ts';
import { restoredAs, toHold, toResource, type Resource } from '../../model/resource.ts';
import { aloneAtMs, latestUpBy } from './alone.ts';
import { poll } from '../system/poll.ts';
import { startTimeOf } from '../system/processes.ts';
import { act, observe, resolve, resourceOf, undo } from './changes.ts';
import type { Journal } from './journal.ts';
import type { Jobs } from './jobs.ts';
import { openEntries, type EntryState, type JournalRecord } from './records.ts';
import { refuse } from './refusals.ts';
import type { World } from './world.ts';

export const PROTOCOL = 1;

export interface LedgerDeps {
  readonly host: HostName;
  readonly site: Site;
  readonly siteDigest: string;
  readonly journal: Journal;
  readonly jobs: Jobs;
  readonly world: World;
  /** Of the attempt that asks; a change goes on without it, see {@link Jobs}. */
  readonly signal: () => AbortSignal;
  readonly warn: (message: string, fields: Record<string, unknown>) => void;
  readonly now?: () => number;
}

function holdable(hold: string): Resource {
  const resource = toResource(hold);
  if (resource !== null) return resource;
  throw refuse(
    'UnknownName',
    `this agent knows nothing to hold by the name of "${hold}"; it may be older than control`,
  );
}

/** What a commit makes stay. */
function isKept(change: Change): boolean {
  if (change.kind === 'service-stopped') return change.startsOnceKept === true;
  return change.kind === 'data-moved-aside' || change.kind === 'balancer-replaced';
}

/** The journal's side of the protocol: what a run, the watchdog, `recover` and the agent itself may ask of a host. */
export function createLedger(deps: LedgerDeps): LedgerActivities {
  const { host, site, journal, jobs, world } = deps;
  const nowMs = deps.now ?? Date.now;
  const now = () => new Date(nowMs()).toISOString();
  const changing = new Map<
    string,
    { position: string; controller: AbortController; result: Promise<ChangeResult> }
  >();
  const undoing = new Map<string, Promise<UndoResult>>();
  let claiming: Promise<ClaimResult> | null = null;

  return {
    claim,
    applyChange,
    sealScope,
    takeOver,
    undoChange,
    commit,
    release,
    attest,
    extend,
    readLedger,
    waitUntilFree,
  };

  async function claim(request: ClaimRequest): Promise<ClaimResult> {
    checkClaim(request);
    const { claim: held } = journal.state();
    if (held !== null) return adopt(request);
    claiming ??= claimFresh(request).finally(() => (claiming = null));
    const result = await claiming;
    if (journal.state().claim?.workflowId !== request.workflowId) throw heldBy();
    return result;
  }

  function checkClaim(request: ClaimRequest): void {
    if (request.protocol !== PROTOCOL)
      throw refuse(
        'ProtocolDiffers',
        `the run speaks protocol ${request.protocol}, the agent of ${host} ${PROTOCOL}: upgrade the older one`,
      );
    if (request.host !== host)
      throw refuse('UnknownName', `this is the agent of ${host}, not of ${request.host}`);
    if (request.siteDigest !== deps.siteDigest)
      throw refuse(
        'DigestDiffers',
        `the site file on ${host} is not the one the run was planned from: copy it there and restart the agent`,
      );
    if (!request.again && journal.lastNight(request.procedure) === request.night)
      throw refuse(
        'AlreadyRan',
        `${request.procedure} already ran for the night of ${request.night} on ${host}; --again runs it a second time`,
      );
  }

  async function claimFresh(request: ClaimRequest): Promise<ClaimResult> {
    const found: Record<string, Found> = {};
    await Promise.all(
      request.holds.map(async (hold) => (found[hold] = await observe(world, site, holdable(hold)))),
    );
    const { workflowId, runId, procedure, night, upBy, hardLimit, siteDigest } = request;
    const at = now();
    journal.record({
      r: 'claim',
      journal: randomUUID(),
      epoch: journal.state().epoch + 1,
      site: site.site,
      ...{ host, siteDigest, procedure, workflowId, runId, night, upBy, hardLimit, found, at },
    });
    return claimResult(false);
  }

  /** A reset or a second start of the same workflow id takes the holds over with what was found: nothing is observed again. */
  async function adopt(request: ClaimRequest): Promise<ClaimResult> {
    const { claim: held, runId, epoch } = journal.state();
    if (held?.workflowId !== request.workflowId) throw heldBy();
    if (runId === request.runId) return claimResult(false);
    checkInTime('nothing new begins here');
    const by = `run ${request.runId}`;
    journal.record({
      r: 'epoch',
      epoch: epoch + 1,
      by,
      why: 'a new run of the same workflow',
      runId: request.runId,
      at: now(),
    });
    await settleChanges('', 'a newer run holds this host');
    return claimResult(true);
  }

  function claimResult(adopted: boolean): ClaimResult {
    const { claim: held, epoch } = journal.state();
    return { journal: held?.journal ?? '', epoch, adopted, found: held?.found ?? {} };
  }

  function heldBy() {
    const held = journal.state().claim;
    const open = openEntries(journal.state()).length;
    return refuse(
      'Held',
      `${host} is held by ${held?.procedure ?? 'another run'} of ${held?.night ?? 'now'} (workflow ${held?.workflowId ?? 'unknown'}, ${open} changes open); if that run is gone: coldbackup recover --host ${host}`,
    );
  }

  async function applyChange(request: ChangeRequest): Promise<ChangeResult> {
    checkSite(request.ref);
    fence(request.ref);
    const known = journal.state().entries.get(request.id);
    if (known?.undoneAt) throw refuse('Closed', `change ${request.id} was undone at ${known.undoneAt}`);
    if (known?.result) return mustBeClean(request, known.result);
    let change = changing.get(request.id);
    if (change === undefined) {
      checkOpen(request.id, request.position);
      const controller = new AbortController();
      const result = make(request, controller.signal).finally(() => changing.delete(request.id));
      change = { position: request.position, controller, result };
      changing.set(request.id, change);
    }
    return change.result;
  }

  async function make(request: ChangeRequest, signal: AbortSignal): Promise<ChangeResult> {
    const { ref, id, position, change, notAfter } = request;
    const { claim: held } = journal.state();
    const hold = toHold(resourceOf(change));
    if (held === null) throw refuse('Fenced', `nothing holds ${host}`);
    const resolved = resolve(site, host, change, { id, claim: held });
    const atClaim = held.found[hold];
    if (atClaim === undefined) throw refuse('UnknownName', `the claim on ${host} does not hold ${hold}`);
    const found = await foundBefore(id, change, atClaim);
    const untilMs = Date.parse(notAfter);
    if (
      change.kind === 'service-stopped' &&
      change.guard &&
      (await world.guard(change.guard, { untilMs, signal })) === 'moved'
    )
      return { id, outcome: 'moved', found, at: now() };
    // From here to the system call nothing else can run: the checks, the intent on disk, the act.
    fence(ref);
    checkOpen(id, position);
    if (nowMs() > untilMs)
      throw refuse('Late', `change ${id} was to be made by ${notAfter}; it is ${now()}: not made`);
    checkInTime(`change ${id} is not made`);
    if (!journal.state().entries.has(id))
      journal.record({
        ...{ r: 'intent', id, position, change, found, service: resolved.service, at: now() },
        ...(resolved.place !== null && { place: resolved.place }),
        ...(resolved.restore !== null && { restore: resolved.restore }),
      });
    const by = `coldbackup, ${site.site}/${journal.state().claim?.procedure ?? ''}`;
    const onProcess = (pid: number) =>
      journal.record({ r: 'process', job: id, pid, startTime: startTimeOf(pid) ?? '', at: now() });
    const did = await act(world, change, resolved, { signal, found, untilMs, by, onProcess });
    const result: ChangeResult = { id, outcome: 'done', found, at: now(), ...did };
    journal.record({ r: 'end', id, result, at: result.at });
    return mustBeClean(request, result);
  }

  /** It is down all the same, and undone as any other: only its copy is worth nothing. */
  function mustBeClean({ change }: ChangeRequest, result: ChangeResult): ChangeResult {
    const status = result.stopped?.exitStatus ?? 0;
    if (change.kind !== 'service-stopped' || change.guard === undefined || status === 0) return result;
    const { member, database } = change.guard;
    throw refuse(
      'NotAtRest',
      `${member} of ${database} did not stop cleanly: ${change.service} on ${host} ended with status ${status}${status > 128 ? ` (signal ${status - 128})` : ''}, so a copy of it is worth nothing; see its log, and raise stop-within and the stop timeout of its service manager if it was killed`,
    );
  }

  /**
   * What undo puts back. Of data: as it lies when it is moved, for until then its services run; and one restore of it at
   * a time, as each has its places by what it replaces.
   */
  async function foundBefore(id: string, change: Change, atClaim: Found): Promise<Found> {
    const { entries } = journal.state();
    if (change.kind !== 'set-unpacked' && change.kind !== 'data-moved-aside') return atClaim;
    const resource = resourceOf(change);
    const hold = toHold(resource);
    const other = openEntries(journal.state()).find(
      (entry) =>
        entry.id !== id && entry.change.kind === change.kind && toHold(resourceOf(entry.change)) === hold,
    );
    if (other !== undefined)
      throw refuse('Held', `${hold} on ${host} is in the middle of another restore, change ${other.id}`);
    const known = entries.get(id)?.found;
    return known ?? (change.kind === 'set-unpacked' ? atClaim : observe(world, site, resource));
  }

  async function commit({ ref, scope }: { ref: Ref; scope: string }): Promise<void> {
    fence(ref);
    const moved = openEntries(journal.state()).filter(
      ({ change, position }) => isKept(change) && inScope(position, scope),
    );
    const ids = moved.filter(({ committedAt }) => committedAt === null).map(({ id }) => id);
    if (ids.length === 0) return;
    const half = moved.find(({ endedAt }) => endedAt === null);
    if (half !== undefined) throw refuse('NotUnderstood', `change ${half.id} is not done: it cannot be kept`);
    checkOpen(ids.join(', '), scope);
    checkInTime('nothing is kept of a restore that comes so late');
    journal.record({ r: 'commit', scope, ids, at: now() });
  }

  async function sealScope({ ref, scope }: { ref: Ref; scope: string }): Promise<readonly Entry[]> {
    fence(ref);
    if (!journal.state().sealed.includes(scope)) journal.record({ r: 'seal', scope, at: now() });
    jobs.end(scope, 'its step is over');
    await settleChanges(scope, 'its step is over');
    return openIn(scope);
  }

  async function takeOver(input: Parameters<LedgerActivities['takeOver']>[0]) {
    const { claim: held, epoch, owner } = journal.state();
    if (held?.journal !== input.journal)
      throw refuse('Fenced', `journal ${input.journal} no longer holds ${host}`);
    if (input.epoch !== null && input.epoch !== epoch && owner !== input.by)
      throw refuse(
        'Fenced',
        `${host} was taken over by ${owner ?? 'somebody else'} (epoch ${epoch}, not ${input.epoch})`,
      );
    recordIfPossible({ r: 'epoch', epoch: epoch + 1, by: input.by, why: input.why, at: now() });
    jobs.end('', input.why);
    await settleChanges('', input.why);
    return { epoch: journal.state().epoch, entries: openIn('') };
  }

  async function undoChange({ ref, id }: { ref: Ref; id: string }): Promise<UndoResult> {
    fence(ref);
    const entry = journal.state().entries.get(id);
    if (entry === undefined) throw refuse('UnknownName', `the journal of ${host} has no change ${id}`);
    if (entry.undoneAt !== null) return { id, at: entry.undoneAt, tookMs: 0, did: 'was undone before' };
    const running = undoing.get(id) ?? undoEntry(entry).finally(() => undoing.delete(id));
    undoing.set(id, running);
    return running;
  }

  async function undoEntry(entry: EntryState): Promise<UndoResult> {
    checkData(entry);
    const began = nowMs();
    const did = await undo(world, entry, { signal: new AbortController().signal });
    const result = { id: entry.id, at: now(), tookMs: nowMs() - began, did };
    recordIfPossible({ r: 'undone', id: entry.id, did, tookMs: result.tookMs, at: result.at });
    return result;
  }

  /**
   * What waits for data that is neither kept nor moved back: its member, as two histories of one replica set must not meet, and
   * the folder beside it, where what was put in its place goes.
   */
  function checkData({ change }: EntryState): void {
    const halfway = openEntries(journal.state()).find(
      (one) => one.change.kind === 'data-moved-aside' && one.committedAt === null && isOn(one.change, change),
    );
    if (halfway !== undefined)
      throw refuse('NotAtRest', `it waits for data on ${host} that is not moved back (change ${halfway.id})`);
  }

  function isOn(data: Restored, change: Change): boolean {
    if (change.kind === 'set-unpacked') return toHold(restoredAs(change)) === toHold(restoredAs(data));
    const engine = site.databases[data.database]?.engine;
    const server = engine?.kind === 'mongodb' ? engine.members[data.member ?? '']?.service : undefined;
    return change.kind === 'service-stopped' && data.to === undefined && server === change.service;
  }

  async function release({ ref }: { ref: Ref }): Promise<void> {
    if (journal.state().claim === null) return;
    fence(ref);
    const open = openIn('');
    if (open.length > 0)
      throw refuse('NotEmpty', `the journal of ${host} still has ${open.length} changes to undo`);
    journal.close();
  }

  async function attest({ ref, services }: { ref: Ref; services: readonly string[] }): Promise<void> {
    fence(ref);
    await Promise.all(services.map(attestService));
  }

  async function attestService(name: string): Promise<void> {
    const { epochAt } = journal.state();
    const entry = openEntries(journal.state()).find(
      ({ change }) => change.kind === 'service-stopped' && change.service === name,
    );
    if (entry?.service == null || entry.endedAt === null)
      throw refuse('NotAtRest', `${name} on ${host} is not held stopped by this run`);
    if (epochAt !== null && epochAt > entry.intentAt)
      throw refuse(
        'NotAtRest',
        `${host} changed hands at ${epochAt}, after ${name} was stopped at ${entry.endedAt}`,
      );
    const [state, instance] = await Promise.all([
      world.stateOf(entry.service),
      world.instanceOf(entry.service),
    ]);
    const before = entry.result?.stopped?.instance ?? null;
    if (state !== 'stopped' || instance !== before)
      throw refuse(
        'NotAtRest',
        `${name} on ${host} was started during the copy (${state}, instance ${instance ?? 'unknown'}, at the stop ${before ?? 'unknown'})`,
      );
  }

  async function extend({ ref, upBy, by, why }: ExtendInput): Promise<{ upBy: Instant }> {
    fence(ref);
    const { claim: held, upBy: holds } = journal.state();
    if (held === null || holds === null) throw refuse('Fenced', `nothing holds ${host}`);
    if (!(Date.parse(upBy) > Date.parse(holds))) return { upBy: holds };
    const latest = latestUpBy(held, site.limits);
    if (Date.parse(upBy) > Date.parse(latest))
      throw refuse(
        'TooLate',
        `${host} was claimed at ${held.at}, and its site file lets nothing stay down longer than ${durationWords(site.limits.longestDownMs)} (limits.longest-down, less ${durationWords(site.limits.graceMs)} grace): up-by ${upBy} is too late, the latest possible is ${latest}`,
      );
    journal.record({ r: 'extend', upBy, by, why, at: now() });
    return { upBy };
  }

  async function readLedger(): Promise<LedgerView> {
    const { claim: held, epoch, upBy: extended } = journal.state();
    if (held === null) return { host, held: null };
    const { journal: id, procedure, workflowId, night } = held;
    const upBy = extended ?? held.upBy;
    return { host, held: { journal: id, epoch, procedure, workflowId, night, upBy, entries: openIn('') } };
  }

  async function waitUntilFree({
    workflowId,
    until,
  }: Parameters<LedgerActivities['waitUntilFree']>[0]): Promise<WaitResult> {
    const isFree = () => (journal.state().claim?.workflowId ?? workflowId) === workflowId || undefined;
    const free = await poll(() => Promise.resolve(isFree()), {
      firstMs: 100,
      longestMs: 2_000,
      until: performance.now() + Date.parse(until) - nowMs(),
      signal: deps.signal(),
    });
    const { claim: held } = journal.state();
    return free
      ? { outcome: 'reached', last: 'free' }
      : { outcome: 'out-of-time', last: `held by ${held?.procedure ?? ''} of ${held?.night ?? ''}` };
  }

  /** Whoever is not the owner any more is refused, however late it wakes. */
  function fence(ref: Ref): void {
    const { claim: held, epoch } = journal.state();
    if (held?.journal !== ref.journal || epoch !== ref.epoch)
      throw refuse(
        'Fenced',
        `journal ${ref.journal} epoch ${ref.epoch} no longer holds ${host} (now ${held?.journal ?? 'free'}, epoch ${epoch})`,
      );
  }

  function checkSite(ref: Ref): void {
    if (ref.siteDigest !== deps.siteDigest)
      throw refuse('DigestDiffers', `the site file on ${host} changed since the claim`);
  }

  function checkOpen(id: string, position: string): void {
    const sealed = journal.state().sealed.find((scope) => inScope(position, scope));
    if (sealed !== undefined)
      throw refuse('Closed', `change ${id} comes late: its step (${sealed || 'all'}) is being undone`);
  }

  /** From the instant on at which this agent brings back alone, nothing more goes down. */
  function checkInTime(consequence: string): void {
    const atMs = aloneAtMs(journal.state(), site.limits);
    if (atMs !== null && nowMs() >= atMs)
      throw refuse(
        'Late',
        `since ${new Date(atMs).toISOString()} the agent of ${host} brings this host back alone: ${consequence}`,
      );
  }

  /** Ends the waiting of changes in flight; what the system still does is waited out by their undo. */
  async function settleChanges(scope: string, why: string): Promise<void> {
    const late = [...changing.values()].filter(({ position }) => inScope(position, scope));
    for (const { controller } of late) controller.abort(new Error(why));
    await Promise.allSettled(late.map(({ result }) => result));
  }

  function openIn(scope: string): readonly Entry[] {
    return openEntries(journal.state())
      .filter(({ position }) => inScope(position, scope))
      .map(({ id, host: on, position, change, found, intentAt, endedAt, committedAt }) => ({
        ...{ id, host: on, position, change, found, intentAt, endedAt },
        ...(committedAt !== null && { committed: true }),
      }));
  }

  function recordIfPossible(record: JournalRecord): void {
    const error = journal.recordIfPossible(record);
    if (error !== null)
      deps.warn('the journal could not be written; bringing back goes on', {
        host,
        error: error instanceof Error ? error.message : 'unknown',
      });
  }
}
