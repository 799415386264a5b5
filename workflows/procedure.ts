import {
  ApplicationFailure,
  CancelledFailure,
  defineSearchAttributeKey,
  SearchAttributeType,
} from '@temporalio/common';
import {
  allHandlersFinished,
  CancellationScope,
  condition,
  isCancellation,
  setHandler,
  sleep,
  workflowInfo,
} from '@temporalio/workflow';
import type { Outcome, Report } from '../model/progress.ts';
import { control } from './agents.ts';
import { claim } from './claim.ts';
import { abortUpdate, planQuery, progressQuery, type Decision, type ProcedureInput } from './messages.ts';
import { bringBack, messageOf } from './ledger.ts';
import { preflight } from './preflight.ts';
import { publish } from './publish.ts';
import {
  enter,
  nowInstant,
  openRun,
  planOf,
  progressOf,
  setPlan,
  setRefOf,
  showNow,
  stepRecords,
  type Run,
} from './run.ts';
import { runSteps } from './steps.ts';

/** For a procedure that restarts when done: bringing back begins this long before up-by at the latest. */
const bringBackMs = 15 * 60_000;

/** One night: everything in order, and everything back. */
export async function procedure(input: ProcedureInput): Promise<Report> {
  const run = openRun(input);
  const forward = new CancellationScope();
  listen(run, forward);

  const failure = await attempt(run, forward, [
    () => resolve(run),
    () => inPhase(run, 'preflight', preflight),
    () => assertNotLate(run),
    () => inPhase(run, 'claim', claim),
    () => inPhase(run, 'steps', () => withinTime(run)),
  ]);
  const published = failure === null ? beside(publish(run)) : null;
  const waited =
    failure === null ? await attempt(run, forward, [() => inPhase(run, 'restart-wait', restartTime)]) : null;
  await inPhase(run, 'bring-back', () => bringBack(run, failure?.reason ?? 'the night is over'));
  enter(run, 'finish');
  return close(run, failure ?? (await published) ?? waited);
}

interface Failure {
  readonly outcome: Outcome;
  readonly reason: string;
}

async function resolve(run: Run): Promise<void> {
  enter(run, 'resolve');
  const { site, procedure: name, upBy } = run.input;
  const startedAt = scheduledStart() ?? run.startedAt;
  const { plan, searchAttributes } = await control('resolve the plan').resolvePlan({
    ...{ site, procedure: name, startedAt },
    ...(upBy !== undefined && { upBy }),
  });
  run.registered = searchAttributes;
  setPlan(run, plan);
  await assertNotLate(run);
}

/** Of a start at the latest moment, until the first change: a start takes a moment, and preflight some minutes. */
const onTheWayMs = 10 * 60_000;

/** A night that was missed by hours (no control was there) must not begin in the morning. */
async function assertNotLate(run: Run): Promise<void> {
  const { latestStart, night } = planOf(run);
  if (latestStart === undefined || Date.now() <= Date.parse(latestStart) + onTheWayMs) return;
  throw ApplicationFailure.nonRetryable(
    `too late for the night of ${night}: it is ${nowInstant()}, and the latest start was ${latestStart}. To run it now, say by when everything must be up: --up-by HH:MM`,
    'TooLate',
  );
}

const scheduledStartKey = defineSearchAttributeKey(
  'TemporalScheduledStartTime',
  SearchAttributeType.DATETIME,
);

/** A late start still belongs to the night it was scheduled for. */
function scheduledStart(): string | null {
  const value = workflowInfo().typedSearchAttributes.get(scheduledStartKey);
  return value?.toISOString() ?? null;
}

async function inPhase(run: Run, phase: Run['phase'], work: (run: Run) => Promise<void>): Promise<void> {
  enter(run, phase);
  await work(run);
}

/** Bringing back begins in time, whatever is still being waited for or copied. */
async function withinTime(run: Run): Promise<void> {
  const { restartAt, upBy, steps } = planOf(run);
  const latest = restartAt ?? new Date(Date.parse(upBy) - bringBackMs).toISOString();
  const timer = new CancellationScope();
  const work = new CancellationScope();
  const clockState = { late: false };
  const clock = timer
    .run(async () => {
      await sleep(Math.max(0, Date.parse(latest) - Date.now()), {
        summary: `bringing back begins at ${latest}`,
      });
      clockState.late = true;
      work.cancel();
    })
    // A cancel of the run rejects it before anybody waits for it: an unhandled rejection fails the workflow task.
    .catch(() => undefined);
  try {
    await work.run(() => runSteps(run, steps));
  } catch (error) {
    if (clockState.late)
      throw ApplicationFailure.nonRetryable(
        `the steps were not done when bringing back had to begin (${latest})`,
        'Incomplete',
      );
    throw error;
  } finally {
    timer.cancel();
    await clock;
  }
}

async function restartTime(run: Run): Promise<void> {
  const { restartAt } = planOf(run);
  if (restartAt === null) return;
  const done = showNow(run, 'restart', {
    step: 'restart',
    text: 'all steps done; services stay down',
    until: restartAt,
    then: 'all is brought back',
  });
  await sleep(Math.max(0, Date.parse(restartAt) - Date.now()), {
    summary: `restart at ${restartAt}`,
  }).finally(done);
}

/** Nothing escapes: whatever fails, bringing back comes next. */
async function attempt(
  run: Run,
  scope: CancellationScope,
  phases: readonly (() => Promise<void>)[],
): Promise<Failure | null> {
  try {
    await scope.run(async () => {
      for (const phase of phases) await phase();
    });
    return null;
  } catch (error) {
    return { outcome: outcomeOf(run, error), reason: aborts.get(run) ?? reasonOf(error) };
  }
}

/** A cancel of the run itself carries no words. */
function reasonOf(error: unknown): string {
  const words = messageOf(error);
  return words === '' && isCancellation(error) ? 'cancelled in Temporal' : words;
}

/** A promise that runs beside the run and never rejects unseen. */
async function beside(work: Promise<void>): Promise<Failure | null> {
  try {
    await work;
    return null;
  } catch (error) {
    return { outcome: 'failed', reason: `the set could not be published: ${messageOf(error)}` };
  }
}

function outcomeOf(run: Run, error: unknown): Outcome {
  if (isCancellation(error)) return 'cancelled';
  const type = failureType(error);
  if (type === 'Incomplete') return 'incomplete';
  if (type === 'AlreadyRan') return 'already-ran';
  return run.phase === 'resolve' || run.phase === 'preflight' || run.phase === 'claim' ? 'no-go' : 'failed';
}

function failureType(error: unknown): string | null {
  const cause = error instanceof Error && error.cause instanceof ApplicationFailure ? error.cause : error;
  return cause instanceof ApplicationFailure ? (cause.type ?? null) : null;
}

const aborts = new WeakMap<Run, string>();

function listen(run: Run, forward: CancellationScope): void {
  setHandler(progressQuery, () => progressOf(run));
  setHandler(planQuery, () => run.plan);
  setHandler(
    abortUpdate,
    ({ by, why }: Decision) => {
      aborts.set(run, `aborted by ${by}: ${why}`);
      forward.cancel();
      return `${run.down.size} services are brought back`;
    },
    { validator: (decision: Decision) => validate(run, decision) },
  );
}

/** A wrong or late word is refused with the reason, and leaves no trace. */
function validate(run: Run, { by, why, sentAt, validForMs }: Decision): void {
  if (by.trim() === '' || why.trim() === '') throw new Error('say who (by) and why');
  if (Date.now() > Date.parse(sentAt) + validForMs)
    throw new Error(`sent at ${sentAt}, and only good for ${validForMs} ms: send it again`);
  if (run.phase === 'bring-back' || run.phase === 'finish')
    throw new Error('all is being brought back already');
}

async function close(run: Run, failure: Failure | null): Promise<Report> {
  const outcome: Outcome = run.notBack.length > 0 ? 'not-back' : (failure?.outcome ?? 'complete');
  const report: Report = {
    site: run.input.site,
    procedure: run.input.procedure,
    timezone: run.plan?.timezone ?? null,
    night: run.plan?.night ?? null,
    outcome,
    reason: failure?.reason ?? null,
    startedAt: run.startedAt,
    endedAt: nowInstant(),
    steps: stepRecords(run),
    services: [...run.downtimes.values()],
    notBack: run.notBack,
    sets: run.sets,
    checks: run.checks,
    warnings: run.warnings,
  };
  run.report = report;
  await CancellationScope.nonCancellable(() => control('write the report').writeReport(report)).catch(
    () => undefined,
  );
  enter(run, 'ended');
  await CancellationScope.nonCancellable(() => condition(allHandlersFinished));
  if (outcome === 'complete') return report;
  if (outcome === 'cancelled' && !aborts.has(run))
    throw new CancelledFailure(report.reason ?? 'cancelled', [report]);
  throw ApplicationFailure.create({
    message: describe(run, report),
    type: outcome,
    nonRetryable: true,
    details: [report],
  });
}

function describe(run: Run, { outcome, reason, notBack }: Report): string {
  const set = run.plan === null ? '' : ` (${setRefOf(run).id})`;
  const down = notBack.map(({ what, host, why }) => `${what} on ${host}: ${why}`).join('; ');
  return `${outcome}${set}: ${reason ?? ''}${down === '' ? '' : ` NOT BACK: ${down}`}`;
}
