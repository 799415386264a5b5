import { loadSites } from '../../config/sites.ts';
import type { LoadedSite } from '../../config/load.ts';
import type { Alert } from '../../model/watchdog.ts';

/** The sites of a folder (or one file), read again at each round. */
export interface WatchedSites {
  read(): Promise<{ readonly sites: readonly LoadedSite[]; readonly alerts: readonly Alert[] }>;
}

/** A file that is broken while it is edited is watched on as it last was: what is down comes back all the same. */
export function watchSites(folderOrFile: string): WatchedSites {
  let good: readonly LoadedSite[] = [];
  return {
    async read() {
      const { sites, problems } = await loadSites(folderOrFile);
      const broken = new Set(problems.map(({ file }) => file));
      const before = good.filter(({ site, file }) => broken.has(file) && !sites.has(site.site));
      good = [...sites.values(), ...before];
      const alerts = problems.map(({ file, line, key, message }): Alert => ({
        site: good.find((one) => one.file === file)?.site.site ?? '-',
        kind: 'site-file',
        subject: file,
        text: `line ${line}: ${key === '' ? '' : `${key}: `}${message}`,
      }));
      return { sites: good, alerts };
    },
  };
}
