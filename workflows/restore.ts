import { ApplicationFailure } from '@temporalio/common';
import type { Report } from '../model/progress.ts';
import { restoredBy } from '../model/plan.ts';
import { carryOut } from './procedure.ts';
import { planRestore, type RestoreInput } from './restore-plan.ts';
import { enter, nowInstant, openRun, setPlan, type Run } from './run.ts';

/** Puts a set in the place of the data: a run like any other, that brings everything back, as restored or as it was. */
export function restore(input: RestoreInput): Promise<Report> {
  // A restore is wanted whatever ran this night.
  const run = openRun({ site: input.site, procedure: 'restore', again: true });
  return carryOut(run, () => resolve(run, input));
}

async function resolve(run: Run, input: RestoreInput): Promise<void> {
  enter(run, 'resolve');
  const { by, why } = input;
  if (typeof by !== 'string' || typeof why !== 'string' || by.trim() === '' || why.trim() === '')
    throw ApplicationFailure.nonRetryable('say who wants it (by) and why', 'PlanError');
  const { plan, searchAttributes } = await planRestore(input, run.startedAt);
  run.registered = searchAttributes;
  setPlan(run, plan);
  const [source] = restoredBy(plan.steps);
  if (source === undefined) throw ApplicationFailure.nonRetryable('the plan restores nothing', 'PlanError');
  const { set, store, targets } = source;
  run.decisions.push({ at: nowInstant(), what: 'restore', detail: `${set.id} from ${store}`, by, why });
  run.restore = {
    ...{ set, store, committed: false, compared: [] },
    targets: targets.map(({ database, member, host, replaces, contentBytes }) => ({
      ...{ database, host, replaces, contentBytes, aside: [] },
      ...(member !== undefined && { member }),
    })),
  };
}
