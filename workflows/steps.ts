import type { PlanStep } from '../model/plan.ts';
import { messageOf } from './ledger.ts';
import { nowInstant, type Run } from './run.ts';
import { backup } from './steps/backup.ts';
import { parallel } from './steps/parallel.ts';
import { stop } from './steps/stop.ts';
import { wait } from './steps/wait.ts';

/** What a step says of itself when it is over; nothing: done. */
export interface StepResult {
  readonly outcome: 'done' | 'gave-up';
  readonly detail?: string;
}

type Handlers = {
  readonly [K in PlanStep['kind']]: (run: Run, step: Extract<PlanStep, { kind: K }>) => Promise<StepResult>;
};

const handlers: Handlers = { stop, wait, parallel, backup };

/** In order; the first that fails ends it. */
export async function runSteps(run: Run, steps: readonly PlanStep[]): Promise<void> {
  for (const step of steps) await runStep(run, step);
}

async function runStep(run: Run, step: PlanStep): Promise<void> {
  const state = run.steps.get(step.id);
  if (state === undefined) throw new Error(`step ${step.id} is not in the plan`);
  state.outcome = 'running';
  state.startedAt = nowInstant();
  try {
    const handler = handlers[step.kind] as (run: Run, step: PlanStep) => Promise<StepResult>;
    const { outcome, detail } = await handler(run, step);
    state.outcome = outcome;
    if (detail !== undefined) state.detail = detail;
  } catch (error) {
    state.outcome = 'failed';
    state.detail = messageOf(error);
    throw error;
  } finally {
    state.endedAt = nowInstant();
  }
}
