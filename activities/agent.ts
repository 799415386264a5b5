import type { AgentActivities } from '../model/activities.ts';
import type { HostName, Site } from '../model/site.ts';
import { createCopyActivities } from './copy.ts';
import { createDrillActivities } from './drill/drill.ts';
import { failingAtOnce } from './failures.ts';
import type { Journal } from './ledger/journal.ts';
import { createJobs } from './ledger/jobs.ts';
import { createLedger } from './ledger/ledger.ts';
import type { World } from './ledger/world.ts';
import { createMongodbActivities } from './mongodb/activities.ts';
import { createPreflightActivities } from './preflight/preflight.ts';
import { createStoreActivities } from './stores/activities.ts';
import { createWaitActivities } from './waits/activities.ts';

export interface AgentDeps {
  readonly site: Site;
  readonly siteDigest: string;
  readonly host: HostName;
  readonly journal: Journal;
  readonly world: World;
  readonly version: string;
  /** Of the attempt that runs. */
  readonly signal: () => AbortSignal;
  /** Of the agent itself: its copies end with it, at once, and are done again by its successor. */
  readonly ended: AbortSignal;
  /** Gives a function for the attempt that runs: to be called from anywhere later. */
  readonly heartbeat: () => (details: unknown) => void;
  readonly warn: (message: string, fields: Record<string, unknown>) => void;
}

/** All that an agent does, by name. What it does not find in its own site file it refuses. */
export function createAgentActivities(deps: AgentDeps): AgentActivities {
  const { site, host, journal, signal, heartbeat } = deps;
  const jobs = createJobs(journal, () => new Date().toISOString());
  deps.ended.addEventListener('abort', () => jobs.end('', 'the agent was told to end'), { once: true });
  const tell = (details: unknown) => heartbeat()(details);
  return failingAtOnce({
    ...createLedger({ ...deps, jobs }),
    ...createCopyActivities({
      site,
      host,
      journal,
      jobs,
      signal,
      listen: () => heartbeat(),
    }),
    ...createWaitActivities({ site, host, signal, heartbeat: tell }),
    ...createMongodbActivities({ site, host, signal, heartbeat: tell }),
    ...createStoreActivities({
      site,
      host,
      during: () => ({ signal: signal(), onProgress: heartbeat() }),
    }),
    ...createDrillActivities({ ...deps, listen: () => heartbeat() }),
    ...createPreflightActivities(deps),
  });
}
