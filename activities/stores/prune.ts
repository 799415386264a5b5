import type { ExplainedSets } from '../../model/activities.ts';
import type { Pin, SetRef, SetSummary } from '../../model/manifest.ts';
import type { Instant, Plan } from '../../model/plan.ts';
import { explainRetention, isHeld, selectForRemoval } from '../../model/retention.ts';
import type { Retention, Site } from '../../model/site.ts';
import { whileNobodyRemoves } from './in-use.ts';
import { StoreError } from './names.ts';
import { pinName } from './pins.ts';
import { listSets, nameOf, readManifest, summariesIn } from './sets.ts';
import type { Store } from './store.ts';

const leftoverAfterMs = 24 * 3_600_000;
/** As coldbackup names sets; any other folder is somebody else's. */
const setId = /^\d{4}-\d{2}-\d{2}T\d{6}Z-\w+$/;

/** What retention makes of each procedure's sets. One that cannot be read, or that a later version wrote, stays. */
export async function explainSets(
  store: Store,
  { site, procedures }: Pick<Site, 'site' | 'procedures'>,
  { procedure, now }: { readonly procedure?: string; readonly now: Instant },
): Promise<readonly ExplainedSets[]> {
  const sets = await listSets(store, site, procedure);
  const names = [...new Set(sets.map(({ set }) => set.procedure))].sort();
  return names.map((name) => {
    const own = sets.filter(({ set }) => set.procedure === name);
    const keep = (Object.hasOwn(procedures, name) ? procedures[name]?.keep : undefined) ?? null;
    const unknown = own.filter((set) => !isKnown(set));
    const because = ['a later version wrote it'];
    return {
      ...{ procedure: name, keep },
      verdicts: [
        ...unknown.map((set) => ({ set, stays: true, because })),
        ...explainRetention(own.filter(isKnown), keep, now),
      ],
    };
  });
}

/**
 * Removes what the retention of the plan lets go, then what runs that never published left behind a day ago. Returns
 * the published sets that went. A set that cannot be read, or that a later version wrote, stays.
 */
export async function pruneSets(
  store: Store,
  plan: Pick<Plan, 'site' | 'procedure' | 'keep'>,
  nowMs: number,
): Promise<readonly SetRef[]> {
  const known = (await listSets(store, plan.site, plan.procedure)).filter(isKnown);
  const now = new Date(nowMs).toISOString();
  const removed: SetRef[] = [];
  for (const { set } of selectForRemoval(known, plan.keep, now))
    if (await removeSet(store, set, (fresh) => goes(fresh, known, plan.keep, now))) removed.push(set);
  await clearLeftovers(store, plan, nowMs);
  await store.tidy?.();
  return removed;
}

/**
 * On the other hosts of a store that is not shared: what its keeper removed goes there too, also what it removed when they
 * could not be told (it was killed, or they were down): that is, what is older than its newest set, is not among those that
 * it has, and by retention goes here as well. Were its disk lost, what retention keeps would stay. Leftovers are cleared only
 * where a later set has its manifest: it shows that sets are published on this host, and that this one was not.
 */
export async function removeSets(
  store: Store,
  { site, procedure, keep }: Pick<Plan, 'site' | 'procedure' | 'keep'>,
  { sets, has }: { readonly sets: readonly SetRef[]; readonly has: readonly SetRef[] },
  nowMs: number,
): Promise<void> {
  const now = new Date(nowMs).toISOString();
  for (const set of sets) await removeSet(store, set, (fresh) => fresh === null || !isHeld(fresh, now));
  const there = has.map(({ id }) => id).sort();
  const known = (await listSets(store, site, procedure)).filter(isKnown);
  for (const { set } of selectForRemoval(known, keep, now))
    if (set.id < (there.at(-1) ?? '') && !there.includes(set.id))
      await removeSet(store, set, (fresh) => goes(fresh, known, keep, now));
  const newest = (await listSets(store, site, procedure)).at(-1)?.set.id;
  if (newest !== undefined) await clearLeftovers(store, { site, procedure }, nowMs, newest);
}

/** @throws StoreError when there is no such set. */
export async function pinSet(store: Store, set: SetRef, pin: Pin | null): Promise<void> {
  await whileNobodyRemoves(store, set, async () => {
    if ((await readManifest(store, set)).kind === 'none')
      throw new StoreError(`There is no set ${nameOf(set)} in store ${store.name} (${store.place}).`);
    await store.replaceText(set, pinName, pin === null ? '' : `${JSON.stringify(pin)}\n`);
  });
}

/** Looked at once more right before: whoever pinned it since it was listed, or reads it now, keeps it. */
function removeSet(store: Store, set: SetRef, may: (fresh: SetSummary | null) => boolean): Promise<boolean> {
  return whileNobodyRemoves(store, set, async () => {
    const [fresh = null] = await summariesIn(store, set);
    if (!may(fresh)) return false;
    await store.remove(set);
    return true;
  });
}

function goes(
  fresh: SetSummary | null,
  listed: readonly SetSummary[],
  keep: Retention | null,
  now: Instant,
): boolean {
  if (fresh === null || !isKnown(fresh)) return false;
  const sets = listed.map((one) => (one.set.id === fresh.set.id ? fresh : one));
  return selectForRemoval(sets, keep, now).includes(fresh);
}

function isKnown({ publishedAt }: SetSummary): boolean {
  return publishedAt !== '';
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
