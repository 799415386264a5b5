import type { SetSummary } from '../model/manifest.ts';
import type { Instant } from '../model/plan.ts';
import type { HostName } from '../model/site.ts';
import type { HostLook, LookInput, SiteLook, StoreLook } from '../model/watchdog.ts';
import { agent } from './agents.ts';
import { messageOf } from './failures.ts';

/** Short: a host that is gone must not keep the watchdog from the others. */
const patience = { withinMs: 30_000, takenUpWithinMs: 10_000, attempts: 2 };

/** What the watchdog asks the agents of a site. Needs no control, and changes nothing. */
export async function look({ site, hosts, stores }: LookInput): Promise<SiteLook> {
  const [seen, listed] = await Promise.all([
    Promise.all(hosts.map((host) => lookAtHost(site, host))),
    Promise.all(stores.map(({ store, keeper }) => lookAtStore(site, store, keeper))),
  ]);
  return { hosts: seen, stores: listed };
}

/** The journal first: what is held may be down. */
async function lookAtHost(site: string, host: HostName): Promise<HostLook> {
  const ask = agent(site, host, { summary: 'what is held, and what is there', ...patience });
  try {
    const view = await ask.readLedger({ site, host });
    if (view.held !== null) return { host, view, seen: null, error: null };
    try {
      const seen = await ask.observeHost({ site, host });
      return { host, view, seen: seen.held ? null : seen, error: null };
    } catch (error) {
      return { host, view, seen: null, error: `its services could not be observed: ${messageOf(error)}` };
    }
  } catch (error) {
    return { host, view: null, seen: null, error: messageOf(error) };
  }
}

async function lookAtStore(site: string, store: string, keeper: HostName): Promise<StoreLook> {
  try {
    const sets = await agent(site, keeper, { summary: `list ${store}`, ...patience }).listSets({
      site,
      store,
    });
    return { store, newest: newestOf(sets), error: null };
  } catch (error) {
    return { store, newest: null, error: messageOf(error) };
  }
}

function newestOf(sets: readonly SetSummary[]): Readonly<Record<string, Instant>> {
  const newest: Record<string, Instant> = {};
  for (const { set, publishedAt } of sets)
    if (publishedAt > (newest[set.procedure] ?? '')) newest[set.procedure] = publishedAt;
  return newest;
}
