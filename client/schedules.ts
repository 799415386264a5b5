import { ScheduleNotFoundError, ScheduleOverlapPolicy, type ScheduleDescription } from '@temporalio/client';
import type { Instant } from '../model/plan.ts';
import { nameOfSchedule } from '../model/schedule.ts';
import { NoSuchScheduleError, RefusedError, UnreachableError } from './errors.ts';
import { answerWithinMs, assertServed, soon, type Link } from './link.ts';
import type { RunRef } from './reports.ts';
import { digestOfFacts, factsOf } from './schedule-facts.ts';
import { scheduleIdOf, scheduleMemo, type Named } from './schedule-options.ts';
import { assertFree } from './start.ts';

export interface ScheduleView extends Named {
  readonly id: string;
  readonly timezone: string;
  /** `mon-fri 20:00`, on the wall of the time zone. */
  readonly starts: readonly string[];
  readonly next: Instant | null;
  /** Of the runs that Temporal still remembers, the newest. */
  readonly last: (RunRef & { readonly scheduledAt: Instant; readonly startedAt: Instant }) | null;
  /** The note of who paused it, or why; null: it is active. */
  readonly paused: string | null;
  /** It is not as `apply` left it. */
  readonly changedByHand: boolean;
  /** Starts that came too late for the catch-up window, since it was created. */
  readonly missed: number;
}

/** Every schedule of coldbackup in the namespace, by name. */
export async function listSchedules(link: Link): Promise<readonly ScheduleView[]> {
  const views = await Promise.all(
    (await ourSchedules(link)).map(async (named) => {
      const described = await describeSchedule(link, scheduleIdOf(named));
      return described === null ? [] : [viewOf(named, described)];
    }),
  );
  return views.flat().sort((a, b) => a.id.localeCompare(b.id));
}

/** No night starts until `resume`; a run that is active goes on. @throws RefusedError when it is paused already. */
export async function pauseSchedule(
  link: Link,
  named: Named,
  { by, why }: { readonly by: string; readonly why: string },
): Promise<void> {
  if (by.trim() === '' || why.trim() === '') throw new RefusedError('say who (by) and why');
  const { state } = await mustBeThere(link, named);
  if (state.paused) throw new RefusedError(`${nameOfSchedule(named)} is paused already: ${state.note ?? ''}`);
  await soon(link, () => handleOf(link, named).pause(`${why} (${by})`));
}

/** @throws RefusedError when it is not paused. */
export async function resumeSchedule(
  link: Link,
  named: Named,
  { by }: { readonly by: string },
): Promise<void> {
  const { state } = await mustBeThere(link, named);
  if (!state.paused) throw new RefusedError(`${nameOfSchedule(named)} is not paused`);
  await soon(link, () => handleOf(link, named).unpause(`resumed by ${by}`));
}

/**
 * Starts tonight's run as the schedule would, also while it is paused; a drill, or reading sets again, at any time.
 * @throws RefusedError outside the window: such a run would not know by when everything must be up.
 */
export async function triggerSchedule(link: Link, named: Named): Promise<RunRef> {
  const described = await mustBeThere(link, named);
  if (named.what === undefined || named.what === 'nights') {
    await assertFree(link, named);
    await assertInWindow(link, named, described);
  } else await assertServed(link);
  const before = new Set(
    described.info.recentActions.map(({ action }) => action.workflow.firstExecutionRunId),
  );
  const handle = handleOf(link, named);
  await soon(link, () => handle.trigger(ScheduleOverlapPolicy.SKIP));
  const until = Date.now() + answerWithinMs;
  for (;;) {
    const { info } = await soon(link, () => handle.describe());
    const started = info.recentActions
      .map(({ action }) => action.workflow)
      .find((run) => !before.has(run.firstExecutionRunId));
    if (started !== undefined) return { workflowId: started.workflowId, runId: started.firstExecutionRunId };
    if (Date.now() > until)
      throw new UnreachableError(
        `the schedule ${scheduleIdOf(named)} was triggered, but started nothing within ${answerWithinMs / 1000} s. See: coldbackup runs ${named.site}`,
      );
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

const pollMs = 100;
/** As a run's window: clocks differ. */
const earlyMs = 5 * 60_000;

async function assertInWindow(
  link: Link,
  named: Named,
  { policies, info }: ScheduleDescription,
): Promise<void> {
  const from = Date.now() - policies.catchupWindow;
  if ((await startsBetween(link, scheduleIdOf(named), from, Date.now() + earlyMs)).length > 0) return;
  const next = info.nextActionTimes[0]?.toISOString();
  throw new RefusedError(
    `now is outside the window of ${nameOfSchedule(named)}${next === undefined ? '' : ` (the next start is at ${next})`}. ` +
      `To run it now, say by when everything must be up: coldbackup run ${named.site} ${named.procedure} --up-by HH:MM`,
  );
}

/** When a schedule starts, as the server counts it. Both ends included. */
export async function startsBetween(
  link: Link,
  scheduleId: string,
  fromMs: number,
  toMs: number,
): Promise<readonly Instant[]> {
  const { startTime } = await soon(link, () =>
    link.client.workflowService.listScheduleMatchingTimes({
      namespace: link.client.options.namespace,
      scheduleId,
      startTime: timestamp(fromMs - 1000), // which the server leaves out
      endTime: timestamp(toMs),
    }),
  );
  return startTime.map(({ seconds, nanos }) =>
    new Date(Number(seconds ?? 0) * 1000 + (nanos ?? 0) / 1e6).toISOString(),
  );
}

function timestamp(ms: number) {
  return { seconds: Math.floor(ms / 1000) as unknown as Long, nanos: (ms % 1000) * 1e6 };
}

/** null: there is none of this id. */
export async function describeSchedule(link: Link, id: string): Promise<ScheduleDescription | null> {
  try {
    return await soon(link, () => link.client.schedule.getHandle(id).describe());
  } catch (error) {
    if (error instanceof ScheduleNotFoundError) return null;
    throw error;
  }
}

/** By id and memo; whatever else there is in the namespace is somebody else's. */
export async function ourSchedules(link: Link): Promise<readonly Named[]> {
  return soon(link, async () => {
    const found: Named[] = [];
    for await (const { scheduleId, memo } of link.client.schedule.list()) {
      const named = ownerOf(scheduleId, memo);
      if (named !== null) found.push(named);
    }
    return found;
  });
}

/** null: not a schedule of coldbackup. */
export function ownerOf(id: string, memo: Record<string, unknown> | undefined): Named | null {
  const named = memo?.[scheduleMemo] as Partial<Named> | undefined;
  if (typeof named?.site !== 'string' || typeof named.procedure !== 'string') return null;
  const { site, procedure, what } = named;
  const owner: Named = { site, procedure, ...(what !== undefined && { what }) };
  return scheduleIdOf(owner) === id ? owner : null;
}

/** Whether somebody else than `apply` changed it since. */
export function isChangedByHand(described: ScheduleDescription): boolean {
  const applied = described.action.memo?.[scheduleMemo] as { readonly applied?: string } | undefined;
  return applied?.applied !== digestOfFacts(factsOf(described));
}

function viewOf(named: Named, described: ScheduleDescription): ScheduleView {
  const { spec, state, info } = described;
  const last = info.recentActions.at(-1);
  return {
    ...named,
    id: scheduleIdOf(named),
    timezone: spec.timezone ?? 'UTC',
    starts: factsOf(described)['start'] ?? [],
    next: info.nextActionTimes[0]?.toISOString() ?? null,
    last:
      last === undefined
        ? null
        : {
            workflowId: last.action.workflow.workflowId,
            runId: last.action.workflow.firstExecutionRunId,
            scheduledAt: last.scheduledAt.toISOString(),
            startedAt: last.takenAt.toISOString(),
          },
    paused: state.paused ? (state.note ?? '') : null,
    changedByHand: isChangedByHand(described),
    missed: info.numActionsMissedCatchupWindow,
  };
}

function handleOf(link: Link, named: Named) {
  return link.client.schedule.getHandle(scheduleIdOf(named));
}

async function mustBeThere(link: Link, named: Named): Promise<ScheduleDescription> {
  const described = await describeSchedule(link, scheduleIdOf(named));
  if (described !== null && ownerOf(described.scheduleId, described.memo) !== null) return described;
  const known = (await ourSchedules(link)).map(nameOfSchedule).sort();
  throw new NoSuchScheduleError(
    `there is no schedule of ${nameOfSchedule(named)} (there are: ${known.join(', ') || 'none'}). Make them: coldbackup schedule apply SITES`,
  );
}
