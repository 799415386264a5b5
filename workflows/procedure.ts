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
  workflowInfo,
} from '@temporalio/workflow';
import type { Instant, PlanStep } from '../model/plan.ts';
import type { Outcome, Report } from '../model/progress.ts';
import { control } from './agents.ts';
import { claim } from './claim.ts';
import { sleepUntil } from './clock.ts';
import { obeyOperators } from './decisions.ts';
import { planQuery, progressQuery, type ProcedureInput } from './messages.ts';
import { untilFree } from './held.ts';
import { bringBack, closeScopes, messageOf } from './ledger.ts';
import { preflight } from './preflight.ts';
import { clearRemains, publish } from './publish.ts';
import {
  enter,
  latestOf,
  nowInstant,
  openRun,
  planOf,
  progressOf,
  setPlan,
  setRefOf,
  showNow,
  skippedBackups,
  stepRecords,
  type Run,
} from './run.ts';
import { doRests, runSteps } from './steps.ts';

/** One night: everything in order, and everything back. */
export function procedure(input: ProcedureInput): Promise<Report> {
  return carryOut(openRun(input), resolve);
}

/** From the plan to the report: whatever fails on the way, bringing back comes next. */
export async function carryOut(run: Run, resolvePlan: (run: Run) => Promise<void>): Promise<Report> {
  const forward = new CancellationScope();
  setHandler(progressQuery, () => progressOf(run));
  setHandler(planQuery, () => run.plan);
  obeyOperators(run, forward);

  const failure = await attempt(run, forward, [
    () => resolvePlan(run),
    () => inPhase(run, 'preflight', untilFree),
    () => inPhase(run, 'preflight', preflight),
    () => assertNotLate(run),
    () => inPhase(run, 'claim', claim),
    () => inPhase(run, 'steps', () => withinTime(run)),
  ]);
  const archives = { mayBegin: run.deadline.restartAt !== null, over: run.rests.length === 0 };
  const published = failure === null ? beside(run, shipped(run, forward, archives)) : null;
  const waited =
    failure === null ? await attempt(run, forward, [() => inPhase(run, 'restart-wait', restartTime)]) : null;
  // Copies on the hosts stay for their archives; what was stopped for them need not.
  if (!archives.over && failure === null && waited === null) {
    await attempt(run, forward, [() => inPhase(run, 'bring-back', () => servicesFirst(run, archives))]);
    enter(run, 'archive');
    await published;
  }
  await inPhase(run, 'bring-back', () => bringBack(run, failure?.reason ?? 'the night is over'));
  enter(run, 'finish');
  const outcome = failure ?? (await published) ?? waited ?? skippedOf(run);
  await clearRemains(run);
  return close(run, outcome);
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
function withinTime(run: Run): Promise<void> {
  return until(
    {
      at: () => latestOf(run),
      why: (latest) => `the steps were not done when bringing back had to begin (${latest})`,
      timer: (latest) => `bringing back begins at ${latest}`,
    },
    () => runSteps(run, planOf(run).steps),
  );
}

/** Cancels the work when the instant has come, which may move meanwhile. */
async function until(
  {
    at,
    why,
    timer: summary = why,
  }: {
    readonly at: () => Instant;
    readonly why: (at: Instant) => string;
    readonly timer?: (at: Instant) => string;
  },
  work: () => Promise<void>,
): Promise<void> {
  const timer = new CancellationScope();
  const working = new CancellationScope();
  const clockState = { late: false };
  const clock = timer
    .run(async () => {
      await sleepUntil(at, summary);
      clockState.late = true;
      working.cancel();
    })
    // A cancel of the run rejects it before anybody waits for it: an unhandled rejection fails the workflow task.
    .catch(() => undefined);
  try {
    await working.run(work);
  } catch (error) {
    if (!clockState.late) throw error;
    // What closes a step's scope reports its cancel as a failure of its own.
    const besides = isCancellation(error) ? '' : `; ${messageOf(error)}`;
    throw ApplicationFailure.nonRetryable(`${why(at())}${besides}`, 'Incomplete');
  } finally {
    timer.cancel();
    await clock;
  }
}

async function restartTime(run: Run): Promise<void> {
  if (run.deadline.restartAt === null) return;
  const done = showNow(run, 'restart', {
    step: 'restart',
    text: 'all steps done; services stay down',
    until: run.deadline.restartAt,
    then: 'all is brought back',
  });
  await sleepUntil(
    () => latestOf(run),
    (at) => `restart at ${at}`,
    () => run.early,
  ).finally(done);
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
    return failureOf(run, error);
  }
}

function failureOf(run: Run, error: unknown): Failure {
  return run.end ?? { outcome: outcomeOf(run, error), reason: reasonOf(error) };
}

function reasonOf(error: unknown): string {
  return isCancellation(error) ? 'cancelled in Temporal' : messageOf(error);
}

interface Archives {
  /** While services wait for a clock time, or when they are back: whatever starts has the disks for itself. */
  mayBegin: boolean;
  over: boolean;
}

/** What is left of the steps, until up-by at the latest; then the set is whole. */
async function shipped(run: Run, forward: CancellationScope, archives: Archives): Promise<void> {
  if (!archives.over)
    await forward
      .run(() =>
        until(
          {
            at: () => run.deadline.upBy,
            why: (upBy) => `the archives were not done by ${upBy}, when all has to be up`,
          },
          async () => {
            await condition(() => archives.mayBegin);
            const done = showNow(run, 'archive', {
              step: 'archive',
              text: 'making archives of the copies on the hosts',
              until: run.deadline.upBy,
              then: 'they end, and there is no set',
            });
            await doRests(run).finally(done);
          },
        ),
      )
      .finally(() => {
        archives.over = true;
      });
  await publish(run);
}

/** For what could not be brought back to be tried again while archives are made; after that it is done as ever. */
const tryAgainMs = 30_000;

/** Brings back all that the steps have stopped, and leaves the copies on the hosts. */
async function servicesFirst(run: Run, archives: Archives): Promise<void> {
  const scopes = planOf(run)
    .steps.filter(stopsServices)
    .map(({ id }) => id);
  for (;;) {
    try {
      await closeScopes(run, scopes).finally(() => {
        archives.mayBegin = true;
      });
      return;
    } catch (error) {
      if (isCancellation(error) || (await condition(() => archives.over, tryAgainMs))) throw error;
    }
  }
}

function stopsServices(step: PlanStep): boolean {
  if (step.kind === 'parallel') return step.branches.some(({ steps }) => steps.some(stopsServices));
  return step.kind === 'stop';
}

/** A promise that runs beside the run and never rejects unseen. */
async function beside(run: Run, work: Promise<void>): Promise<Failure | null> {
  try {
    await work;
    return null;
  } catch (error) {
    if (isCancellation(error) || failureType(error) === 'Incomplete') return failureOf(run, error);
    return { outcome: 'failed', reason: `the set could not be published: ${messageOf(error)}` };
  }
}

/** All is well but for what operators left out. */
function skippedOf(run: Run): Failure | null {
  const steps = skippedBackups(run);
  if (steps.length === 0) return null;
  return {
    outcome: 'incomplete',
    reason: `skipped: ${steps.map(({ id, label, detail }) => `${id} ${label} (${detail ?? ''})`).join('; ')}`,
  };
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
    decisions: run.decisions,
    warnings: run.warnings,
    ...(run.fingerprints.length > 0 && { fingerprints: run.fingerprints }),
    ...(run.restore !== null && { restore: run.restore }),
  };
  run.report = report;
  await CancellationScope.nonCancellable(() => control('write the report').writeReport(report)).catch(
    () => undefined,
  );
  enter(run, 'ended');
  await CancellationScope.nonCancellable(() => condition(allHandlersFinished));
  // The night is done, if by another run: no reason for a schedule to pause on failure.
  if (outcome === 'complete' || outcome === 'already-ran') return report;
  // Its details get lost on the way (SDK 1.24): the report is found in what was written last.
  if (outcome === 'cancelled' && run.end === null) throw new CancelledFailure(report.reason ?? 'cancelled');
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
