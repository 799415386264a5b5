import { assertTrustworthy } from '../config/file-safety.ts';
import { loadSite, type LoadedSite } from '../config/load.ts';
import { byDistance, quoteWithNearest } from '../config/nearest.ts';
import { UsageError } from './errors.ts';

/** A site file that nobody else may write, and a host that it names: what an agent and `recover` start from. */
export async function loadForHost(file: string, host: string): Promise<LoadedSite> {
  await assertTrustworthy(file);
  const loaded = await loadSite(file);
  const { site, hosts } = loaded.site;
  if (!hosts.includes(host))
    throw new UsageError(
      `unknown host ${quoteWithNearest(host, hosts)} (site ${site} has: ${byDistance(host, hosts).join(', ')})`,
    );
  return loaded;
}
