import { ApplicationFailure } from '@temporalio/common';
import { CancellationScope, isCancellation } from '@temporalio/workflow';
import { inScope } from '../model/ledger.ts';
import type { PlanStep } from '../model/plan.ts';
import { whilePaused } from './decisions.ts';
import { messageOf } from './failures.ts';
import { ask, nothing } from './questions.ts';
import { latestOf, nowInstant, type Run, type StepResult, type StepState } from './run.ts';
import { backup } from './steps/backup.ts';
import { parallel } from './steps/parallel.ts';
import { replace } from './steps/replace.ts';
import { stop } from './steps/stop.ts';
import { unpack } from './steps/unpack.ts';
import { wait } from './steps/wait.ts';
import { together } from './together.ts';

type Handlers = {
  /** `attempt` counts from 1: an operator may have a step that failed done again. */
  readonly [K in PlanStep['kind']]: (
    run: Run,
    step: Extract<PlanStep, { kind: K }>,
    attempt: number,
  ) => Promise<StepResult>;
};

const handlers: Handlers = { stop, wait, parallel, backup, unpack, replace };

/** In order; the first that fails ends it. */
export async function runSteps(run: Run, steps: readonly PlanStep[]): Promise<void> {
  for (const step of steps) await runStep(run, step);
}

async function runStep(run: Run, step: PlanStep): Promise<void> {
  await whilePaused(run);
  const state = stateOf(run, step);
  state.startedAt = nowInstant();
  state.outcome = 'running';
  const handler = handlers[step.kind] as (run: Run, step: PlanStep, attempt: number) => Promise<StepResult>;
  const rest = await recorded(run, step, (attempt) => handler(run, step, attempt));
  if (rest !== undefined) run.rests.push({ step, work: rest });
}

/** What steps have left, side by side. Of what fails operators are asked as of the step itself. */
export async function doRests(run: Run): Promise<void> {
  await together(
    run.rests.splice(0).map(
      ({ step, work }) =>
        () =>
          recorded(run, step, work),
    ),
  );
}

/** @returns what is left to be done: the step is not over then. */
async function recorded(run: Run, step: PlanStep, work: Work): Promise<StepResult['rest']> {
  const state = stateOf(run, step);
  try {
    const { outcome, detail, rest } = isSkipped(run, step)
      ? skipped(run, step)
      : await doStep(run, step, work);
    if (rest !== undefined) return rest;
    state.outcome = outcome;
    if (detail !== undefined) state.detail = detail;
  } catch (error) {
    state.outcome = isCancellation(error) && isSkipped(run, step) ? 'skipped' : 'failed';
    state.detail = messageOf(error);
    throw error;
  } finally {
    if (state.outcome !== 'running') state.endedAt = nowInstant();
  }
  return undefined;
}

function stateOf(run: Run, { id }: PlanStep): StepState {
  const state = run.steps.get(id);
  if (state === undefined) throw new Error(`step ${id} is not in the plan`);
  return state;
}

/** `attempt` counts from 1. */
type Work = (attempt: number) => Promise<StepResult>;

/** Once; and where failures are asked about, as often as operators say so. */
async function doStep(run: Run, step: PlanStep, work: Work): Promise<StepResult> {
  for (let attempt = 1; ; attempt++) {
    try {
      const result = await inOwnScope(run, step, () => work(attempt));
      return result.outcome === 'gave-up' && isSkipped(run, step) ? skipped(run, step) : result;
    } catch (error) {
      // Where something could not be undone nothing further is changed, whatever anybody decides.
      if (isFinal(error)) throw error;
      if (run.skips.has(step.id)) return skipped(run, step);
      if (isCancellation(error) || step.onFailure !== 'ask' || step.kind === 'parallel') throw error;
      const answer = await askAbout(run, step, error);
      if (answer === 'skip') return skipped(run, step);
      if (answer !== 'retry') throw error;
    }
  }
}

async function inOwnScope(run: Run, step: PlanStep, work: () => Promise<StepResult>): Promise<StepResult> {
  const scope = new CancellationScope();
  run.running.set(step.id, scope);
  try {
    return await scope.run(work);
  } finally {
    run.running.delete(step.id);
  }
}

/** Nobody answers in time: it has failed, as it would have without asking. */
async function askAbout(run: Run, step: PlanStep, error: unknown): Promise<string> {
  try {
    const result = await ask(
      run,
      {
        step: step.id,
        text: `step ${step.id} (${step.label}) failed: ${messageOf(error)}`,
        answers: ['retry', 'skip', 'fail'],
        by: latestOf(run),
        else: 'fail: all is brought back',
      },
      nothing,
    );
    return 'answer' in result ? result.answer : 'fail';
  } catch {
    return 'fail';
  }
}

/** By itself, or with the step that it is part of. */
function isSkipped(run: Run, { id }: PlanStep): boolean {
  return [...run.skips].some((skip) => inScope(id, skip));
}

function skipped(run: Run, { id }: PlanStep): StepResult {
  const decision = run.decisions.findLast(({ what, detail }) => what !== 'retry' && detail?.startsWith(id));
  return {
    outcome: 'skipped',
    detail:
      decision === undefined ? 'with the step that it is part of' : `by ${decision.by}: ${decision.why}`,
  };
}

function isFinal(error: unknown): boolean {
  return error instanceof ApplicationFailure && error.type === 'ScopeOpen';
}
