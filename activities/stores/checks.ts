import type { SetSummary } from '../../model/manifest.ts';
import type { Plan } from '../../model/plan.ts';
import { keepFor } from '../../model/retention.ts';
import type { Check } from '../../model/progress.ts';
import type { HostName, Site } from '../../model/site.ts';
import { createRooms, type Rooms, type Taken } from '../system/rooms.ts';
import { openStore } from './activities.ts';
import { checkRoomAhead, growthOf, mostSets, roomLeft, takenText } from './room.ts';
import { artifactsHere, listSets, showSet } from './sets.ts';
import { sizeText } from './size-text.ts';
import type { Store } from './store.ts';

/** Data grows: what the last set took, and this much more, must fit. */
const growth = 1.2;

/** Before the first set: content that compresses to less than this part of itself is rare. */
const smallest = 1 / 4;

export type CheckedPlan = Pick<Plan, 'site' | 'procedure' | 'keep' | 'keepIn' | 'stores' | 'proveEveryMs'>;

/**
 * The store is there, this host can write to it, what the last set of the procedure took fits once more, and so does
 * what is to be copied here: `copyBytes` before compression, null where it is not known. Then what retention will keep, and
 * on the keeper how good the sets are. Whether a shared store is shared is proven apart, by a token. A store that cannot be
 * asked throws StoreError. What a directory will take is promised in `rooms`.
 */
export async function checkStore(
  site: Site,
  name: string,
  host: HostName,
  plan: CheckedPlan,
  copyBytes: number | null = null,
  rooms: Rooms = createRooms(),
): Promise<readonly Check[]> {
  const store = openStore(site, host, name);
  const token = `check-${host}-${process.pid}`;
  await store.writeToken(token);
  await store.removeToken(token);
  const quotaBytes = site.stores[name]?.quotaBytes;
  const all = await listSets(store, plan.site, quotaBytes === undefined ? plan.procedure : undefined);
  const sets = all.filter(({ set }) => set.procedure === plan.procedure);
  const last = await lastSet(store, sets);
  const diskBytes = await store.freeBytes();
  const freeBytes = roomLeft(diskBytes, quotaBytes, total(all));
  const isFolder = site.stores[name]?.kind === 'directory';
  const taken = isFolder ? await rooms.taken(store.place) : nothing;
  const leftBytes = (takenBytes: number): number | null =>
    roomLeft(diskBytes === null ? null : diskBytes - takenBytes, quotaBytes, total(all));
  const detail = [
    freeBytes === null
      ? `${store.place} takes what is written; how much room there is, it does not say`
      : `${sizeText(freeBytes)} free in ${store.place}${takenText(taken)}`,
    ...(quotaBytes === undefined
      ? []
      : [`its sets have ${sizeText(total(all))} of quota ${sizeText(quotaBytes)}`]),
    last === null ? 'no set yet to tell what one takes' : `the last set took ${sizeText(last.sizeBytes)}`,
    ...(copyBytes === null ? [] : [`at most ${sizeText(copyBytes)} to copy from here, before compression`]),
  ].join('; ');
  const needs = needsOf(copyBytes, last);
  const verdict = verdictOf(needs, {
    atBest: leftBytes(taken.leastBytes),
    atWorst: leftBytes(taken.mostBytes),
  });
  const check = { host, subject: `store ${name}`, verdict, detail };
  const hint = `make room for ${sizeText(needs.mostBytes + taken.mostBytes)}, or keep fewer sets`;
  if (isFolder && verdict !== 'no-go')
    await rooms.promise({ who: check.subject, folder: store.place, ...needs });
  const perWeek = site.procedures[plan.procedure]?.start?.days.length ?? 7;
  return [
    verdict === 'go' ? check : { ...check, hint },
    ...(last === null || freeBytes === null
      ? []
      : checkRoomAhead(
          { host, subject: check.subject },
          {
            ...{ setBytes: last.sizeBytes, freeBytes, there: sets.length },
            growthBytes: Math.round(last.sizeBytes * growthOf(sizesOf(sets))),
            kept: mostSets(keepFor(plan, name), perWeek),
          },
        )),
    ...(plan.stores[name]?.keeper === host
      ? [...checkDamage(name, host, plan, sets), ...checkProofs(name, host, plan, sets)]
      : []),
  ];
}

/** What was read again and is not what was written needs somebody who decides. */
function checkDamage(
  name: string,
  host: HostName,
  plan: CheckedPlan,
  sets: readonly SetSummary[],
): readonly Check[] {
  const bad = sets.filter(
    ({ verified, unreadable }) => verified?.passed === false || unreadable !== undefined,
  );
  if (bad.length === 0) return [];
  const damaged = bad.map(({ set, unreadable }) =>
    unreadable === undefined ? set.id : `${set.id} (its manifest cannot be read)`,
  );
  return [
    {
      ...({ host, subject: `sets in ${name}`, verdict: 'warning' } as const),
      detail: `damaged: ${damaged.join(', ')}`,
      hint: `coldbackup sets verify ${plan.site} ${bad[0]?.set.id ?? ''} --store ${name} says what is wrong`,
    },
  ];
}

/** Sets that were never restored, or not for long, are only hoped to be good. */
function checkProofs(
  name: string,
  host: HostName,
  { proveEveryMs, ...plan }: CheckedPlan,
  all: readonly SetSummary[],
): readonly Check[] {
  if (proveEveryMs === undefined) return [];
  const sets = all.filter(({ publishedAt }) => publishedAt !== '');
  const newest = sets
    .flatMap(({ set, proof }) => (proof?.passed === true ? [{ id: set.id, at: proof.at }] : []))
    .sort((one, other) => (one.at < other.at ? 1 : -1))[0];
  const failed = sets.filter(({ proof }) => proof?.passed === false).map(({ set }) => set.id);
  const check = { host, subject: `proofs in ${name}` };
  const hint = `coldbackup drill ${plan.site} --store ${name}`;
  const bad = failed.length === 0 ? '' : `; the drill of ${failed.join(', ')} failed`;
  const wanted = `prove-every: ${Math.round(proveEveryMs / 86_400_000)}d`;
  if (sets.length === 0) return [{ ...check, verdict: 'go', detail: 'no set yet to prove' }];
  if (newest === undefined)
    return [{ ...check, verdict: 'warning', detail: `no set was ever proven (${wanted})${bad}`, hint }];
  const detail = `the newest proof is of ${newest.at}, of set ${newest.id} (${wanted})${bad}`;
  const late = Date.now() - Date.parse(newest.at) > proveEveryMs;
  return [
    late || bad !== '' ? { ...check, verdict: 'warning', detail, hint } : { ...check, verdict: 'go', detail },
  ];
}

interface LastSet {
  readonly sizeBytes: number;
  /** Before compression. */
  readonly contentBytes: number;
}

function total(sets: readonly SetSummary[]): number {
  return sets.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

/** Of whole ones, the newest last. */
function sizesOf(sets: readonly SetSummary[]): readonly number[] {
  return sets.filter(({ complete }) => complete).map(({ sizeBytes }) => sizeBytes);
}

const nothing: Taken = { leastBytes: 0, mostBytes: 0, by: [] };

type Needs = Pick<Taken, 'leastBytes' | 'mostBytes'>;

/** The last set is certain; how far other content compresses is not, and some of it may not be copied at all. */
function needsOf(copyBytes: number | null, last: LastSet | null): Needs {
  const toCopy = copyBytes ?? 0;
  if (last === null) return { leastBytes: toCopy * smallest, mostBytes: toCopy };
  const leastBytes = last.sizeBytes * growth;
  const compressed = Math.min(1, last.sizeBytes / Math.max(1, last.contentBytes));
  return { leastBytes, mostBytes: Math.max(leastBytes, toCopy * growth * compressed) };
}

/** null: it is not known what is left. */
function verdictOf(
  { leastBytes, mostBytes }: Needs,
  { atBest, atWorst }: { readonly atBest: number | null; readonly atWorst: number | null },
): Check['verdict'] {
  if (atBest !== null && atBest < leastBytes) return 'no-go';
  return atWorst !== null && atWorst < mostBytes ? 'warning' : 'go';
}

/** Of the newest set, what this host sees of it; null: nothing yet. */
async function lastSet(store: Store, sets: readonly SetSummary[]): Promise<LastSet | null> {
  const last = sets.filter(({ complete }) => complete).at(-1);
  if (last === undefined) return null;
  const here = artifactsHere(store, await showSet(store, last.set));
  if (here.length === 0) return null;
  return {
    sizeBytes: here.reduce((sum, { sizeBytes, fileList }) => sum + sizeBytes + fileList.sizeBytes, 0),
    contentBytes: here.reduce((sum, { contentBytes }) => sum + contentBytes, 0),
  };
}
