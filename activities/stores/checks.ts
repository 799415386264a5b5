import type { Plan } from '../../model/plan.ts';
import type { Check } from '../../model/progress.ts';
import type { HostName, Site } from '../../model/site.ts';
import { openStore } from './activities.ts';
import { artifactsHere, listSets, showSet } from './sets.ts';
import type { Store } from './store.ts';

/** Data grows: what the last set took, and this much more, must fit. */
const growth = 1.2;

/**
 * The store is there, this host can write to it, and what the last set of the procedure took fits once more. Whether a
 * shared store is shared is proven apart, by a token. A store that cannot be asked throws StoreError.
 */
export async function checkStore(
  site: Site,
  name: string,
  host: HostName,
  plan: Pick<Plan, 'site' | 'procedure'>,
): Promise<readonly Check[]> {
  const store = openStore(site, host, name);
  const subject = `store ${name}`;
  const token = `check-${host}-${process.pid}`;
  await store.writeToken(token);
  await store.removeToken(token);
  const freeBytes = await store.freeBytes();
  const lastBytes = await lastSetBytes(store, plan);
  const free = `${gigabytes(freeBytes)} free in ${store.place}`;
  if (lastBytes === null) {
    return [{ host, subject, verdict: 'go', detail: `${free}; no set yet to tell what one takes` }];
  }
  const detail = `${free}; the last set took ${gigabytes(lastBytes)}`;
  if (freeBytes >= lastBytes * growth) return [{ host, subject, verdict: 'go', detail }];
  const hint = `make room for ${gigabytes(lastBytes * growth)}, or keep fewer sets`;
  return [{ host, subject, verdict: 'no-go', detail, hint }];
}

async function lastSetBytes(
  store: Store,
  { site, procedure }: Pick<Plan, 'site' | 'procedure'>,
): Promise<number | null> {
  const last = (await listSets(store, site, procedure)).filter(({ complete }) => complete).at(-1);
  if (last === undefined) return null;
  const here = artifactsHere(store, await showSet(store, last.set));
  return here.reduce((sum, { sizeBytes, fileList }) => sum + sizeBytes + fileList.sizeBytes, 0);
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
