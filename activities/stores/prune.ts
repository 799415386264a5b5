import type { SetRef } from '../../model/manifest.ts';
import type { Plan } from '../../model/plan.ts';
import { selectForRemoval } from '../../model/retention.ts';
import { listSets, readManifest } from './sets.ts';
import type { Store } from './store.ts';

const leftoverAfterMs = 24 * 3_600_000;
/** As coldbackup names sets; any other folder is somebody else's. */
const setId = /^\d{4}-\d{2}-\d{2}T\d{6}Z-\w+$/;

/**
 * Removes what the retention of the plan lets go, then what runs that never published left behind a day ago. Returns
 * the published sets that went. A set that cannot be read, or that a later version wrote, stays.
 */
export async function pruneSets(
  store: Store,
  plan: Pick<Plan, 'site' | 'procedure' | 'keep'>,
  nowMs: number,
): Promise<readonly SetRef[]> {
  const known = (await listSets(store, plan.site, plan.procedure)).filter(
    ({ publishedAt }) => publishedAt !== '',
  );
  const removed = selectForRemoval(known, plan.keep).map(({ set }) => set);
  for (const set of removed) await store.remove(set);
  await clearLeftovers(store, plan, nowMs);
  return removed;
}

/**
 * On the other hosts of a store that is not shared: what its keeper removed goes there too. Leftovers are cleared only
 * where a later set has its manifest: it shows that sets are published on this host, and that this one was not.
 */
export async function removeSets(
  store: Store,
  { site, procedure }: Pick<Plan, 'site' | 'procedure'>,
  sets: readonly SetRef[],
  nowMs: number,
): Promise<void> {
  for (const set of sets) await store.remove(set);
  const newest = (await listSets(store, site, procedure)).at(-1)?.set.id;
  if (newest !== undefined) await clearLeftovers(store, { site, procedure }, nowMs, newest);
}

/** Removes folders of sets without a manifest in which nothing has changed for 24 hours; returns them. */
export async function clearLeftovers(
  store: Store,
  { site, procedure }: Pick<Plan, 'site' | 'procedure'>,
  nowMs: number,
  olderThanId?: string,
): Promise<readonly SetRef[]> {
  const cleared: SetRef[] = [];
  for (const set of await store.folders(site, procedure)) {
    if (!setId.test(set.id) || (await readManifest(store, set)).kind !== 'none') continue;
    if (olderThanId !== undefined && set.id >= olderThanId) continue;
    if (nowMs - (await store.lastChangeMs(set)) < leftoverAfterMs) continue;
    await store.remove(set);
    cleared.push(set);
  }
  return cleared;
}
