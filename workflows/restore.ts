import { ApplicationFailure } from '@temporalio/common';
import type { Report } from '../model/progress.ts';
import { restoredBy } from '../model/plan.ts';
import { carryOut } from './procedure.ts';
import { beginUse, type Use } from './in-use.ts';
import { planRestore, type RestoreInput } from './restore-plan.ts';
import { enter, nowInstant, openRun, setPlan, type Run } from './run.ts';

/** Puts a set in the place of the data: a run like any other, that brings everything back, as restored or as it was. */
export async function restore(input: RestoreInput): Promise<Report> {
  // A restore is wanted whatever ran this night.
  const run = openRun({ site: input.site, procedure: 'restore', again: true });
  let over = () => Promise.resolve();
  try {
    return await carryOut(run, async () => {
      over = await beginUse(await resolve(run, input));
    });
  } finally {
    await over();
  }
}

async function resolve(run: Run, input: RestoreInput): Promise<Use> {
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
  const { keeper = '', shared = true } = plan.stores[store] ?? {};
  return {
    ...{ site: plan.site, store, set, what: 'restore' },
    hosts: shared ? [keeper] : [keeper, ...targets.map(({ host }) => host)],
    atMostMs: Date.parse(plan.hardLimit) - Date.now(),
  };
}
