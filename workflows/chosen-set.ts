import { ApplicationFailure } from '@temporalio/common';
import { isCancellation, patched } from '@temporalio/workflow';
import type { SiteInfo } from '../model/activities.ts';
import type { SetRef, SetSummary, StoreFailure } from '../model/manifest.ts';
import type { HostName } from '../model/site.ts';
import { agent } from './agents.ts';
import { messageOf } from './failures.ts';
import { siteInfo, storeNamed } from './site-info.ts';

const shortMs = 60_000;

/** What the stores hold. */
export interface Listing {
  /** The newest first. */
  readonly sets: readonly SetSummary[];
  /** Stores that could not be asked. */
  readonly failed: readonly StoreFailure[];
}

interface Which {
  /** Absent: all of them. */
  readonly procedure?: string;
  /** Only this one is asked. */
  readonly store?: string;
}

/** Of the stores that answer: one that is away is in nobody's way. Fails when none does. */
export async function listAll(info: SiteInfo, { procedure, store }: Which = {}): Promise<Listing> {
  if (store !== undefined) storeNamed(info, store);
  const failed: StoreFailure[] = [];
  const lists = await Promise.all(
    (store === undefined ? Object.keys(info.stores) : [store]).map((name) =>
      listOf(info, name, procedure).catch((error: unknown) => {
        if (isCancellation(error)) throw error;
        failed.push({ store: name, why: messageOf(error) });
        return [];
      }),
    ),
  );
  if (failed.length > 0 && failed.length === lists.length)
    throw ApplicationFailure.nonRetryable(failed.map(notAsked).join('; '), 'NoStoreAnswers');
  return { sets: newestFirst(lists), failed };
}

export function notAsked({ store, why }: StoreFailure): string {
  return `store ${store} could not be asked: ${why}`;
}

/** As runs that began before it was so did: every store has to answer. */
async function listEvery(info: SiteInfo, procedure?: string): Promise<Listing> {
  const names = Object.keys(info.stores);
  return {
    sets: newestFirst(await Promise.all(names.map((name) => listOf(info, name, procedure)))),
    failed: [],
  };
}

function listOf(
  { site, stores }: SiteInfo,
  store: string,
  procedure?: string,
): Promise<readonly SetSummary[]> {
  return agent(site, stores[store]?.keeper ?? '', { summary: `list ${store}`, withinMs: shortMs }).listSets({
    ...{ site, store },
    ...(procedure !== undefined && { procedure }),
  });
}

function newestFirst(lists: readonly (readonly SetSummary[])[]): readonly SetSummary[] {
  return lists.flat().sort((a, b) => b.publishedAt.localeCompare(a.publishedAt));
}

export interface ChosenSet {
  readonly set: SetRef;
  readonly store: string;
  readonly keeper: HostName;
  /** Stores that might have a newer one, and could not be asked. */
  readonly warnings: readonly string[];
}

/** The set that is meant, and the store that it is taken from. Fails for good with those that there are. */
export async function chosenSet({
  site,
  procedure,
  set: id,
  store,
  prefer,
}: {
  readonly site: string;
  /** Only sets of this one. */
  readonly procedure?: string;
  /** Its id, or the beginning of one; absent: the newest complete set. */
  readonly set?: string;
  /** Absent: the first that has it. */
  readonly store?: string;
  /** Of all sets, the newest first: the store that the newest complete one is taken from; absent: whichever has it. */
  readonly prefer?: (sets: readonly SetSummary[]) => string | undefined;
}): Promise<ChosenSet> {
  const info = await siteInfo(site);
  const which = { ...(procedure !== undefined && { procedure }), ...(store !== undefined && { store }) };
  const { sets, failed } = patched('stores-that-answer')
    ? await listAll(info, which)
    : await listEvery(info, procedure);
  const all = sets.filter(({ publishedAt }) => publishedAt !== '');
  const from = store ?? (id === undefined ? prefer?.(all) : undefined);
  const inStore = all.filter((one) => from === undefined || one.store === from);
  const found =
    id === undefined
      ? inStore.find(({ complete }) => complete)
      : (inStore.find(({ set }) => set.id === id) ?? onlyOne(inStore, id));
  if (found !== undefined)
    return {
      ...{ set: found.set, store: found.store },
      keeper: info.stores[found.store]?.keeper ?? '',
      warnings: failed.map(notAsked),
    };
  const known = [...new Set(inStore.map(({ set }) => set.id))].slice(0, 10).join(', ') || 'none';
  throw ApplicationFailure.nonRetryable(
    [
      `no ${id === undefined ? 'complete set' : `set "${id}"`}${store === undefined ? '' : ` in ${store}`}; ${site} has: ${known}`,
      ...sets.flatMap((one) =>
        one.unreadable !== undefined && id !== undefined && one.set.id.startsWith(id)
          ? [`the manifest of ${one.set.id} in ${one.store} cannot be read (coldbackup sets verify --mend)`]
          : [],
      ),
      ...failed.map(notAsked),
    ].join('; '),
    'UnknownName',
  );
}

/** One set may lie in several stores. */
function onlyOne<S extends { readonly set: SetRef }>(all: readonly S[], id: string): S | undefined {
  const matching = all.filter(({ set }) => set.id.startsWith(id));
  return new Set(matching.map(({ set }) => set.id)).size === 1 ? matching[0] : undefined;
}
