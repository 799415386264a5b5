import type { ControlActivities, ResolvedPlan, SiteInfo, StoreInfo } from '../model/activities.ts';
import type { Report } from '../model/progress.ts';
import type { Site, Store } from '../model/site.ts';
import { ApplicationFailure } from '@temporalio/common';
import { resolvePlan } from '../config/plan.ts';
import { resolveRestore } from '../config/restore/plan.ts';
import type { LoadedSite } from '../config/load.ts';
import { loadSites, siteNamed } from '../config/sites.ts';

export interface ControlDeps {
  /** A folder of site files, or one file; read again at each question. */
  readonly sites: string;
  readonly searchAttributes: () => Promise<readonly string[]>;
  readonly onReport: (report: Report) => Promise<void>;
}

/** What belongs to no host: plans, and what is told to people. Bad input fails for good, with what is known. */
export function createControlActivities({
  sites,
  searchAttributes,
  onReport,
}: ControlDeps): ControlActivities {
  return {
    async resolvePlan({ site, ...input }): Promise<ResolvedPlan> {
      const known = await loadSites(sites);
      const registered = await searchAttributes();
      return forGood(() => ({
        plan: resolvePlan(siteNamed(known.sites, site), input),
        searchAttributes: registered,
      }));
    },
    async resolveRestore(request): Promise<ResolvedPlan> {
      const known = await loadSites(sites);
      const registered = await searchAttributes();
      return forGood(() => ({
        plan: resolveRestore(siteNamed(known.sites, request.site), request),
        searchAttributes: registered,
      }));
    },
    async listSites() {
      const known = await loadSites(sites);
      return [...known.sites.values()].map(infoOf);
    },
    writeReport: onReport,
  };
}

function infoOf({ site, digest, file }: LoadedSite): SiteInfo {
  return {
    site: site.site,
    file,
    digest,
    timezone: site.timezone,
    hosts: site.hosts,
    procedures: Object.keys(site.procedures),
    stores: Object.fromEntries(
      Object.entries(site.stores).map(([name, store]) => [name, storeInfoOf(site, store)]),
    ),
    ...(site.drill && { drill: { host: site.drill.host ?? null } }),
  };
}

function storeInfoOf(site: Site, store: Store): StoreInfo {
  const { keeper, shared } = store;
  const hosts =
    store.kind === 'directory' && typeof store.directory !== 'string'
      ? Object.keys(store.directory)
      : site.hosts;
  return { keeper, shared, others: shared ? [] : hosts.filter((host) => host !== keeper) };
}

function forGood<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw ApplicationFailure.create({
      message: error instanceof Error ? error.message : 'unknown',
      type: error instanceof Error ? error.name : 'Error',
      nonRetryable: true,
    });
  }
}
