import type { PlanParallel } from '../../model/plan.ts';
import type { Run, StepResult } from '../run.ts';
import { runSteps } from '../steps.ts';
import { together } from '../together.ts';

export async function parallel(run: Run, step: PlanParallel): Promise<StepResult> {
  await together(
    step.branches.map(
      ({ steps }) =>
        () =>
          runSteps(run, steps),
    ),
  );
  return { outcome: 'done' };
}
