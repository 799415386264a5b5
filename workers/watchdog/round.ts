import { randomUUID } from 'node:crypto';
import type { Client } from '@temporalio/client';
import type { LoadedSite } from '../../config/load.ts';
import {
  defaultPatience,
  verdict,
  watchdogQueue,
  type Alert,
  type Described,
  type HostLook,
  type HostRound,
  type LookInput,
  type Patience,
  type Repaired,
  type RepairHost,
  type SiteLook,
  type SiteRound,
} from '../../model/watchdog.ts';
import { hostAlerts, nightAlerts, setAlerts, storesOfNights, type NightFacts } from './alerts.ts';
import { describeHolder } from './holder.ts';
import type { Repairs } from './repairs.ts';

export interface RoundDeps {
  readonly client: Client;
  readonly facts: NightFacts;
  readonly repairs: Repairs;
  /** Over the defaults, and over the site file's grace. */
  readonly patience: Partial<Patience>;
  /** Whether a round waits for the repair that it started. */
  readonly awaitsRepairs: boolean;
}

/** Looks at one site, judges what is held, brings back what nobody else does, and says what is not as it should be. */
export type WatchSite = (loaded: LoadedSite) => Promise<SiteRound>;

const lookWithinMs = 3 * 60_000;
/** A keeper reads every manifest for it. */
const setsEveryMs = 60 * 60_000;

export function createSiteWatch({ client, facts, repairs, patience, awaitsRepairs }: RoundDeps): WatchSite {
  const listed = new Map<string, { atMs: number; alerts: readonly Told[] }>();

  return async (loaded) => {
    const { site: name, timezone } = loaded.site;
    const errors: string[] = [];
    const noting = async <T>(what: string, work: Promise<T>, otherwise: T): Promise<T> =>
      work.catch((error: unknown) => {
        errors.push(`${what}: ${wordsOf(error)}`);
        return otherwise;
      });
    const [holds, nights] = await Promise.all([
      noting('the hosts could not be looked at', watchHolds(loaded), {
        hosts: [],
        repaired: null,
        alerts: [],
      }),
      noting('the nights could not be looked at', nightAlerts(loaded.site, facts, nowInstant()), []),
    ]);
    const alerts = [...holds.alerts, ...nights].map((told): Alert => ({ site: name, ...told }));
    return { site: name, timezone, hosts: holds.hosts, repaired: holds.repaired, alerts, errors };
  };

  async function watchHolds(loaded: LoadedSite) {
    const { site } = loaded;
    const isDue = Date.now() - (listed.get(site.site)?.atMs ?? -Infinity) >= setsEveryMs;
    const seen = await lookAt(loaded, isDue);
    const describe = described();
    const hosts = await Promise.all(seen.hosts.map((host) => judged(host, loaded, describe)));
    const repaired = await bringBack(loaded, hosts);
    if (isDue)
      listed.set(site.site, {
        atMs: Date.now(),
        alerts: await setAlerts(site, seen.stores, facts, nowInstant()),
      });
    const alerts = [...seen.hosts.flatMap(hostAlerts), ...(listed.get(site.site)?.alerts ?? [])];
    return { hosts, repaired, alerts };
  }

  async function lookAt({ site }: LoadedSite, withSets: boolean): Promise<SiteLook> {
    const stores = withSets ? storesOfNights(site) : [];
    const input: LookInput = {
      site: site.site,
      hosts: site.hosts,
      stores: stores.flatMap((store) => {
        const keeper = site.stores[store]?.keeper;
        return keeper === undefined ? [] : [{ store, keeper }];
      }),
    };
    return (await client.workflow.execute('look', {
      workflowId: `${watchdogQueue}/${site.site}/look/${randomUUID()}`,
      taskQueue: watchdogQueue,
      args: [input],
      workflowExecutionTimeout: lookWithinMs,
      staticSummary: `${site.site}: what is held, and what is there`,
    })) as SiteLook;
  }

  /** Each holder is asked for once a round. */
  function described(): (workflowId: string) => Promise<Described> {
    const asked = new Map<string, Promise<Described>>();
    return (workflowId) => {
      const answer = asked.get(workflowId) ?? describeHolder(client, workflowId);
      asked.set(workflowId, answer);
      return answer;
    };
  }

  async function judged(
    { host, view }: HostLook,
    { site }: LoadedSite,
    describe: (workflowId: string) => Promise<Described>,
  ): Promise<HostRound> {
    if (view === null) return { host, state: 'no answer', held: null, verdict: null };
    if (view.held === null) return { host, state: 'free', held: null, verdict: null };
    const { journal, epoch, procedure, workflowId, night, upBy } = view.held;
    const held = { journal, epoch, procedure, workflowId, night, upBy };
    const limits = { ...defaultPatience, graceMs: site.limits.graceMs, ...patience };
    const holder = await describe(held.workflowId);
    return { host, state: 'held', held, verdict: verdict(view.held, holder, nowInstant(), limits) };
  }

  async function bringBack(loaded: LoadedSite, hosts: readonly HostRound[]): Promise<Repaired | null> {
    const left = hosts.flatMap(({ host, held, verdict: judgement }): readonly RepairHost[] => {
      if (held === null || judgement === null || judgement.kind === 'leave') return [];
      const { journal, epoch, workflowId } = held;
      return [{ host, journal, epoch, workflowId, why: judgement.why }];
    });
    if (left.length === 0) return null;
    const repair = await repairs.begin(loaded, left);
    return awaitsRepairs && repair !== null ? repair.ended : null;
  }
}

type Told = Omit<Alert, 'site'>;

function nowInstant(): string {
  return new Date().toISOString();
}

/** What the SDK wraps says more than the wrapper. */
function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
