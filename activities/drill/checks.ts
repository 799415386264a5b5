import { memberRecord, type Artifact, type Manifest } from '../../model/manifest.ts';
import { copyingHosts, type Plan } from '../../model/plan.ts';
import type { Check } from '../../model/progress.ts';
import type { Drill, HostName, Site } from '../../model/site.ts';
import { openStore } from '../stores/activities.ts';
import { artifactsHere, newestSet } from '../stores/sets.ts';
import { openerOf } from './opener.ts';
import { whyNoRoom, type Part } from './room.ts';

export type DrilledPlan = Pick<Plan, 'site' | 'procedure' | 'steps' | 'stores' | 'hosts'>;

/**
 * Whether the next drill of the procedure's sets could be carried out on this host: said by the night, not only by the drill.
 * `data`: what is copied from here into a store. None of it is a no-go: a night that makes a set comes before its proof.
 */
export async function checkDrills(
  site: Site,
  host: HostName,
  plan: DrilledPlan,
  { data, signal }: { data: (store: string) => readonly Part[]; signal: AbortSignal },
): Promise<readonly Check[]> {
  const { drill } = site;
  const { drill: times, proveEveryMs } = site.procedures[plan.procedure] ?? {};
  if (drill === undefined || (times ?? proveEveryMs) === undefined) return [];
  const rows = Object.keys(plan.stores).map(async (store): Promise<readonly Check[]> => {
    const row = { host, subject: `drills from ${store}` };
    const said = drillsOf(drill, plan, store, host);
    if (said === null) return [];
    if (said !== 'here') return [{ ...row, ...said }];
    try {
      const why = await whyNot(site, drill, plan, { store, host, data: data(store), signal });
      if (why === null) return [{ ...row, verdict: 'go', detail: `the next one fits in ${drill.scratch}` }];
      return [{ ...row, verdict: 'warning', detail: why, hint: 'until then no set is proven' }];
    } catch (error) {
      signal.throwIfAborted();
      const detail = error instanceof Error ? error.message : String(error);
      return [{ ...row, verdict: 'warning', detail, hint: 'until then no set is proven' }];
    }
  });
  return (await Promise.all(rows)).flat();
}

/** Whether this host restores sets of the store, or parts of them; null: it does not, and has nothing to say. */
function drillsOf(
  drill: Drill,
  { steps, stores, hosts }: DrilledPlan,
  name: string,
  host: HostName,
): 'here' | Pick<Check, 'verdict' | 'detail' | 'hint'> | null {
  const { keeper, shared } = stores[name] ?? { keeper: '', shared: true };
  if (!shared) {
    if (!copyingHosts(steps, name).includes(host)) return null;
    if (drill.host === undefined || drill.host === host) return 'here';
    return {
      verdict: 'warning',
      detail: `the store is not shared: drill.host ${drill.host} does not see what is made here`,
      hint: 'leave out drill.host, and each host restores its own',
    };
  }
  const on = drill.host ?? keeper;
  if (on === host) return 'here';
  if (host !== keeper || hosts.includes(on)) return null;
  return {
    verdict: 'go',
    detail: `they are on ${on}, which has no part in this night: whether the next one fits, only that will say`,
  };
}

async function whyNot(
  site: Site,
  drill: Drill,
  { procedure }: DrilledPlan,
  {
    store: name,
    host,
    data,
    signal,
  }: { store: string; host: HostName; data: readonly Part[]; signal: AbortSignal },
): Promise<string | null> {
  const store = openStore(site, host, name);
  const last = await newestSet(store, site.site, procedure);
  const there = last === null ? [] : artifactsHere(store, last);
  const why = await whyNoRoom(drill, host, [...there, ...data]);
  if (why !== null || last === null) return why;
  const { memoryBytes } = drill;
  for (const member of onePerRelease(last, there))
    await openerOf(site, member, { host, memoryBytes, signal });
  return null;
}

/** Who wrote the copies: of each database and version one. */
function onePerRelease(manifest: Manifest, artifacts: readonly Artifact[]) {
  const all = artifacts.flatMap(({ database, name }) => {
    const record = memberRecord(manifest, { database, artifact: name });
    return record === null ? [] : [{ database, artifact: name, version: record.version }];
  });
  return new Map(all.map((one) => [`${one.database} ${one.version}`, one])).values();
}
