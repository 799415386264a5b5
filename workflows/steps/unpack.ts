import type { PlanUnpack, RestoreTarget } from '../../model/plan.ts';
import { makeChange } from '../ledger.ts';
import { planOf, showNow, type Run, type StepResult } from '../run.ts';
import { together } from '../together.ts';

const shortMs = 60_000;

/** Beside the data, which is in use meanwhile: what is wrong with the set is found before anything is stopped. */
export async function unpack(run: Run, { id, store, set, targets }: PlanUnpack): Promise<StepResult> {
  // The run itself ends it in time for up-by.
  const withinMs = Math.max(shortMs, Date.parse(planOf(run).hardLimit) - Date.now());
  await together(
    targets.map((target) => async () => {
      const { database, member, host, artifact, newSet, to } = target;
      const done = showNow(run, `${id} ${placeOf(target)}`, {
        ...{ step: id, until: null, then: null },
        text: `unpacking and verifying ${artifact} on ${host}`,
      });
      await makeChange(run, {
        ...{ host, withinMs, step: id },
        // Place 0 of the whole run: removing what is large is the last that is done, no service waits for it.
        position: `0/${placeOf(target)}/${set.id}`,
        change: {
          kind: 'set-unpacked',
          database,
          ...(member !== undefined && { member }),
          store,
          set,
          artifact,
          ...(newSet !== undefined && { newSet }),
          ...(to !== undefined && { to }),
        },
      }).finally(done);
    }),
  );
  return { outcome: 'done' };
}

/** `tree`, `vitam-mongo/mongo-1:27018` */
export function placeOf({ database, member }: Pick<RestoreTarget, 'database' | 'member'>): string {
  return member === undefined ? database : `${database}/${member}`;
}
