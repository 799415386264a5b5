import { assertTrustworthy } from '../config/file-safety.ts';
import type { LoadedSite } from '../config/load.ts';
import { byDistance, quoteWithNearest } from '../config/nearest.ts';
import { formatProblems } from '../config/problem.ts';
import { UsageError } from './errors.ts';
import { tell } from './terminal.ts';

// What reads site files is loaded only by the commands that need it: it takes longer than the rest of their start.

/** A site file that nobody else may write, and a host that it names: what an agent and `recover` start from. */
export async function loadForHost(file: string, host: string): Promise<LoadedSite> {
  await assertTrustworthy(file);
  const { loadSite } = await import('../config/load.ts');
  const loaded = await loadSite(file);
  const { site, hosts } = loaded.site;
  if (!hosts.includes(host))
    throw new UsageError(
      `unknown host ${quoteWithNearest(host, hosts)} (site ${site} has: ${byDistance(host, hosts).join(', ')})`,
    );
  return loaded;
}

/** Control and the watchdog read the files again each time; at their start they say what is wrong with them. */
export async function assertServable(folderOrFile: string): Promise<void> {
  const { loadSites } = await import('../config/sites.ts');
  const { sites, problems } = await loadSites(folderOrFile);
  if (problems.length > 0) tell(formatProblems(problems));
  if (sites.size === 0) throw new UsageError(`no site can be served from ${folderOrFile}`);
  await Promise.all([...sites.values()].map(({ file }) => assertTrustworthy(file)));
}
