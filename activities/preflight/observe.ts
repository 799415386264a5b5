import type { HostSeen, PreflightActivities } from '../../model/activities.ts';
import type { HostName, Site } from '../../model/site.ts';
import type { Journal } from '../ledger/journal.ts';
import { modeOf, observeBalancer } from '../mongodb/balancer.ts';
import { createDriver } from '../services/drivers.ts';

export interface ObserveDeps {
  readonly site: Site;
  readonly host: HostName;
  readonly journal: Journal;
  /** Of the attempt that runs. */
  readonly signal: () => AbortSignal;
}

/** What is there now, for whoever watches from outside of a run; changes nothing. */
export function createObserveActivity({
  site,
  host,
  journal,
  signal,
}: ObserveDeps): Pick<PreflightActivities, 'observeHost'> {
  const isHeld = () => journal.state().claim !== null;
  return {
    async observeHost() {
      const before = isHeld();
      const [services, balancers] = await Promise.all([
        Promise.all(
          Object.entries(site.services)
            .filter(([, { hosts }]) => hosts.includes(host))
            .map(async ([name, service]) => {
              const { state, detail } = await createDriver(service).observe(signal());
              return { service: name, normally: service.normally, state, detail };
            }),
        ),
        Promise.all(
          Object.entries(site.databases).flatMap(([database, { engine }]) =>
            engine.kind === 'mongodb' && engine.mongos?.host === host ? [balancerOf(database)] : [],
          ),
        ),
      ]);
      return { host, held: before || isHeld(), services, balancers };
    },
  };

  async function balancerOf(database: string): Promise<HostSeen['balancers'][number]> {
    try {
      return { database, mode: modeOf(await observeBalancer(site, database, { signal: signal() })) };
    } catch (error) {
      return { database, mode: null, error: error instanceof Error ? error.message : 'unknown' };
    }
  }
}
