import { ApplicationFailure } from '@temporalio/common';
import type { SiteInfo, StoreInfo } from '../model/activities.ts';
import { control } from './agents.ts';

/** What control knows of a site. Fails for good, with the known names. */
export async function siteInfo(site: string): Promise<SiteInfo> {
  const sites = await control('list sites').listSites();
  const info = sites.find((one) => one.site === site);
  if (info === undefined)
    throw ApplicationFailure.nonRetryable(
      `unknown site "${site}"; control serves: ${sites.map((one) => one.site).join(', ') || 'none'}`,
      'UnknownName',
    );
  return info;
}

/** Fails for good, with the known names. */
export function storeNamed({ site, stores }: Pick<SiteInfo, 'site' | 'stores'>, store: string): StoreInfo {
  const info = stores[store];
  if (info === undefined)
    throw ApplicationFailure.nonRetryable(
      `unknown store "${store}"; ${site} has: ${Object.keys(stores).join(', ') || 'none'}`,
      'UnknownName',
    );
  return info;
}
