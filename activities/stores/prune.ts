import type { ExplainedSets, JudgedRemains } from '../../model/activities.ts';
import type { Pin, SetRef, SetSummary } from '../../model/manifest.ts';
import type { Instant, Plan } from '../../model/plan.ts';
import {
  explainRetention,
  holdsIn,
  isHeld,
  keepFor,
  selectForRemoval,
  type Hold,
} from '../../model/retention.ts';
import type { Retention, Site } from '../../model/site.ts';
import { inUseName, usesIn, whileNobodyRemoves } from './in-use.ts';
import { StoreError, manifestName } from './names.ts';
import { pinName, pinnedBy } from './pins.ts';
import { proofsName } from './proofs.ts';
import { findSet, listFolders, nameOf, readManifest, type Listing } from './sets.ts';
import { readSmall, textIn } from './small.ts';
import type { Store } from './store.ts';

const leftoverAfterMs = 24 * 3_600_000;

/** What retention makes of each procedure's sets. One that a later version wrote stays. */
export async function explainSets(
  store: Store,
  { site, procedures }: Pick<Site, 'site' | 'procedures'>,
  { procedure, now }: { readonly procedure?: string; readonly now: Instant },
): Promise<readonly ExplainedSets[]> {
  const listing = await listFolders(store, site, procedure);
  const all = [...listing.sets.map(({ set }) => set), ...listing.remains];
  const names = [...new Set(all.map((set) => set.procedure))].sort();
  return Promise.all(
    names.map(async (name): Promise<ExplainedSets> => {
      const { sets, remains } = ofProcedure(listing, name);
      const keep = keepFor(
        (Object.hasOwn(procedures, name) ? procedures[name] : undefined) ?? {},
        store.name,
      );
      const verdicts = [
        ...sets
          .filter((set) => !isKnown(set))
          .map((set) => ({ set, stays: true, because: [whyUnknown(set)] })),
        ...explainRetention(sets.filter(isKnown), keep, now),
      ];
      const judged = await judgeRemains(store, remains, Date.parse(now));
      const doubt = doubtOf(sets);
      if (doubt === null) return { procedure: name, keep, verdicts, remains: judged };
      const because = [`nothing is removed: ${doubt}`];
      return {
        ...{ procedure: name, keep, doubt },
        verdicts: verdicts.map((one) => (one.stays ? one : { ...one, stays: true, because })),
        remains: judged.map((one) => (one.stays ? one : { ...one, stays: true, because })),
      };
    }),
  );
}

/**
 * Removes what the retention of the plan lets go, then what runs that never published left behind a day ago. Returns
 * the published sets that went. A set that a later version wrote stays. `published` must be there.
 * @throws StoreError, and nothing is removed, when the store does not list it, or lists a manifest that cannot be read
 */
export async function pruneSets(
  store: Store,
  { site, procedure, keep }: Pick<Plan, 'site' | 'procedure' | 'keep'>,
  nowMs: number,
  published?: SetRef,
): Promise<readonly SetRef[]> {
  const { sets, remains } = await listSurely(store, { site, procedure }, published);
  const known = sets.filter(isKnown);
  const now = new Date(nowMs).toISOString();
  const removed: SetRef[] = [];
  for (const { set } of selectForRemoval(known, keep, now))
    if (await removeSet(store, set, (fresh) => goes(fresh, known, keep, now))) removed.push(set);
  await clearRemains(store, remains, nowMs);
  await store.tidy?.();
  return removed;
}

/**
 * On the other hosts of a store that is not shared: what its keeper removed goes there too, also what it removed when they
 * could not be told (it was killed, or they were down): that is, what is older than its newest set, is not among those that
 * it has, and by retention goes here as well. Were its disk lost, what retention keeps would stay. Remains are cleared where
 * a later set has its manifest here, or its keeper does not have it: a host publishes its part before its keeper does.
 */
export async function removeSets(
  store: Store,
  { site, procedure, keep }: Pick<Plan, 'site' | 'procedure' | 'keep'>,
  { sets, has }: { readonly sets: readonly SetRef[]; readonly has?: readonly SetRef[] },
  nowMs: number,
): Promise<void> {
  const now = new Date(nowMs).toISOString();
  const listing = await listSurely(store, { site, procedure });
  for (const set of sets) await removeSet(store, set, (fresh) => fresh === null || !isHeld(fresh, now));
  const there = has?.map(({ id }) => id).sort() ?? [];
  const known = listing.sets.filter((one) => isKnown(one) && !sets.some(({ id }) => id === one.set.id));
  for (const { set } of selectForRemoval(known, keep, now))
    if (set.id < (there.at(-1) ?? '') && !there.includes(set.id))
      await removeSet(store, set, (fresh) => goes(fresh, known, keep, now));
  const newest = listing.sets.at(-1)?.set.id ?? '';
  await clearRemains(
    store,
    listing.remains.filter(({ id }) => id < newest || (has !== undefined && !there.includes(id))),
    nowMs,
  );
}

/**
 * Removes one set, whatever the rules of retention say, and keeps the promises that they are under. Gives why it stays, each
 * reason with what to do; one that is not listed is gone.
 */
export async function removeNamed(
  store: Store,
  set: SetRef,
  { nowMs, dryRun }: { readonly nowMs: number; readonly dryRun: boolean },
): Promise<readonly string[]> {
  const { sets } = await listFolders(store, set.site, set.procedure);
  const listed = sets.find((one) => one.set.id === set.id);
  if (listed === undefined) return [];
  const doubt = doubtOf(sets);
  if (doubt !== null) return [`its store is in doubt: ${doubt}`];
  if (!isKnown(listed)) return ['a later version wrote it: remove it with that version'];
  const now = new Date(nowMs).toISOString();
  const whyStays = (fresh: SetSummary): readonly string[] => {
    const known = sets.filter(isKnown).map((one) => (one.set.id === set.id ? fresh : one));
    const holds = holdsIn(known, now);
    return holds(fresh).map(({ kind, why }) => `it is ${why}; ${whatToDo[kind](set, store.name)}`);
  };
  let why = whyStays(listed);
  if (dryRun || why.length > 0) return why;
  const isGone = await removeSet(store, set, (fresh) => {
    why = fresh === null ? [] : whyStays(fresh);
    return why.length === 0;
  });
  if (!isGone) return why.length > 0 ? why : [`its ${manifestName} cannot be read by now: repair it`];
  await store.tidy?.();
  return [];
}

const whatToDo: Readonly<Record<Hold['kind'], (set: SetRef, store: string) => string>> = {
  newest: ({ site, procedure }) => `let a newer one be made first (coldbackup run ${site} ${procedure})`,
  proven: ({ site }) => `let a newer one be proven first (coldbackup drill ${site})`,
  pinned: ({ site, id }, store) => `if it may go, coldbackup sets unpin ${site} ${id} --store ${store}`,
  'in-use': () => 'wait until that is over',
  'in-doubt': () => 'repair that file, or move it away',
};

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
    const found = await findSet(store, set);
    if (found !== 'none' && found.unreadable !== undefined) return false;
    if (!may(found === 'none' ? null : found)) return false;
    // Of a removal that is cut short remains are left, which nothing must keep.
    for (const name of markNames)
      if ((await store.sizeBytes(set, name)) !== null) await store.drop(set, name);
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

/** Of what the newest, or the only proven one, may be among what was not seen nothing may go. */
async function listSurely(
  store: Store,
  { site, procedure }: Pick<Plan, 'site' | 'procedure'>,
  published?: SetRef,
): Promise<Listing> {
  const listing = await listFolders(store, site, procedure);
  const isMissing = published !== undefined && !listing.sets.some(({ set }) => set.id === published.id);
  const doubt = isMissing
    ? `it does not list ${published.id}, which was just published`
    : doubtOf(listing.sets);
  if (doubt === null) return listing;
  throw new StoreError(
    `Nothing of ${site}/${procedure} is removed in store ${store.name} (${store.place}) on host ${store.host}: ${doubt}.`,
  );
}

/** null: all that is there can be judged. */
function doubtOf(sets: readonly SetSummary[]): string | null {
  const ids = sets.flatMap(({ set, unreadable }) => (unreadable === undefined ? [] : [set.id]));
  if (ids.length === 0) return null;
  return `${manifestName} of ${ids.join(', ')} cannot be read: repair it, or move it away`;
}

function whyUnknown({ unreadable }: SetSummary): string {
  return unreadable === undefined ? 'a later version wrote it' : 'its manifest cannot be read';
}

function ofProcedure({ sets, remains }: Listing, name: string): Listing {
  const isMeant = (set: SetRef) => set.procedure === name;
  return { sets: sets.filter(({ set }) => isMeant(set)), remains: remains.filter(isMeant) };
}

/** What a run that never published has left goes a day after its last change; what a set has had beside its manifest does not. */
async function judgeRemains(
  store: Store,
  remains: readonly SetRef[],
  nowMs: number,
): Promise<readonly JudgedRemains[]> {
  const judged: JudgedRemains[] = [];
  for (const set of remains) {
    const why = await whyStays(store, set, nowMs);
    judged.push({ set, stays: why !== null, because: [why ?? 'never published'] });
  }
  return judged;
}

async function whyStays(store: Store, set: SetRef, nowMs: number): Promise<string | null> {
  const marks = await marksOf(store, set, nowMs);
  if (marks.length > 0) return `${manifestName} is missing, and ${marks.join(', ')} is there`;
  const changedMs = await store.lastChangeMs(set);
  if (changedMs === null) return 'it could not be looked at';
  return nowMs - changedMs < leftoverAfterMs ? 'no manifest yet, and changed within a day' : null;
}

async function clearRemains(store: Store, remains: readonly SetRef[], nowMs: number): Promise<void> {
  for (const { set, stays } of await judgeRemains(store, remains, nowMs))
    if (!stays && (await findSet(store, set)) === 'none') await store.remove(set);
}

/** Only a set that was published gets these; they go before its manifest. */
async function marksOf(store: Store, set: SetRef, nowMs: number): Promise<readonly string[]> {
  const [pin = null, inUse = null, proofs = null] = await Promise.all(
    markNames.map(async (name) => textIn(await readSmall(store, set, name))),
  );
  const now = new Date(nowMs).toISOString();
  const isUsed = usesIn(inUse)?.some(({ until }) => until > now) ?? true;
  const there = [pinnedBy(pin) !== null, isUsed, proofs !== null];
  return markNames.filter((_, index) => there[index]);
}

const markNames = [pinName, inUseName, proofsName];
