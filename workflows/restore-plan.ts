import type { ResolvedPlan } from '../model/activities.ts';
import type { Instant } from '../model/plan.ts';
import { agent, control } from './agents.ts';
import { chosenSet } from './chosen-set.ts';

/** Input of workflow `restore`; small enough to type into the Temporal UI. */
export interface RestoreInput {
  readonly site: string;
  /** Its id, or the beginning of one. */
  readonly set: string;
  /** Absent: the first that has it. */
  readonly store?: string;
  /** Absent: all that is in the set. */
  readonly database?: string;
  /** One member of a replica set alone, which catches up with the others. Absent: all. */
  readonly member?: string;
  /** A folder below restore-to of the site file: unpacked there to be looked at, nothing is replaced. */
  readonly to?: string;
  /** Of `to`. Absent: the keeper of the store, or whoever holds the artifact. */
  readonly host?: string;
  /** `HH:MM`, or an instant: by then all is up again, restored or as before. Absent: as long as limits.longest-down allows. */
  readonly upBy?: string;
  /** Who wants it, and why: what is replaced is in use. */
  readonly by: string;
  readonly why: string;
}

const shortMs = 60_000;

/** The set as its keeper has it, resolved against the site file as control has it. */
export async function planRestore(
  input: Omit<RestoreInput, 'by' | 'why'>,
  startedAt: Instant,
): Promise<ResolvedPlan> {
  const { site, database, member, to, host, upBy } = input;
  const { set, store, keeper, warnings } = await chosenSet(input);
  const { complete, publishedAt, artifacts, databases } = await agent(site, keeper, {
    ...{ summary: `show ${set.id}`, withinMs: shortMs },
  }).showSet({ site, store, set });
  const resolved = await control('resolve the restore').resolveRestore({
    ...{ site, startedAt, store, manifest: { set, complete, publishedAt, artifacts, databases } },
    ...(database !== undefined && { database }),
    ...(member !== undefined && { member }),
    ...(to !== undefined && { to }),
    ...(host !== undefined && { host }),
    ...(upBy !== undefined && { upBy }),
  });
  const { plan } = resolved;
  return { ...resolved, plan: { ...plan, warnings: [...plan.warnings, ...warnings] } };
}
