import { ApplicationFailure } from '@temporalio/common';
import type { SiteInfo } from '../model/activities.ts';
import type { SetRef, SetSummary } from '../model/manifest.ts';
import type { HostName } from '../model/site.ts';
import { agent } from './agents.ts';
import { siteInfo } from './site-info.ts';

const shortMs = 60_000;

/** What the stores hold, newest first. */
export async function listAll(
  { site, stores }: SiteInfo,
  procedure?: string,
): Promise<readonly SetSummary[]> {
  const lists = await Promise.all(
    Object.entries(stores).map(([store, { keeper }]) =>
      agent(site, keeper, { summary: `list ${store}`, withinMs: shortMs }).listSets({
        ...{ site, store },
        ...(procedure !== undefined && { procedure }),
      }),
    ),
  );
  return lists.flat().sort((a, b) => b.publishedAt.localeCompare(a.publishedAt));
}

/** The set that is meant, and the store that it is taken from. Fails for good with those that there are. */
export async function chosenSet({
  site,
  procedure,
  set: id,
  store,
}: {
  readonly site: string;
  /** Only sets of this one. */
  readonly procedure?: string;
  /** Its id, or the beginning of one; absent: the newest complete set. */
  readonly set?: string;
  /** Absent: the first that has it. */
  readonly store?: string;
}): Promise<{ readonly set: SetRef; readonly store: string; readonly keeper: HostName }> {
  const info = await siteInfo(site);
  const all = (await listAll(info, procedure)).filter(({ publishedAt }) => publishedAt !== '');
  const inStore = all.filter((one) => store === undefined || one.store === store);
  const found =
    id === undefined
      ? inStore.find(({ complete }) => complete)
      : (inStore.find(({ set }) => set.id === id) ?? onlyOne(inStore, id));
  if (found !== undefined)
    return { set: found.set, store: found.store, keeper: info.stores[found.store]?.keeper ?? '' };
  const known = [...new Set(inStore.map(({ set }) => set.id))].slice(0, 10).join(', ') || 'none';
  throw ApplicationFailure.nonRetryable(
    `no ${id === undefined ? 'complete set' : `set "${id}"`}${store === undefined ? '' : ` in ${store}`}; ${site} has: ${known}`,
    'UnknownName',
  );
}

/** One set may lie in several stores. */
function onlyOne<S extends { readonly set: SetRef }>(all: readonly S[], id: string): S | undefined {
  const matching = all.filter(({ set }) => set.id.startsWith(id));
  return new Set(matching.map(({ set }) => set.id)).size === 1 ? matching[0] : undefined;
}
