import type { HostSeen } from '../../model/activities.ts';
import { newestNight } from '../../model/nights.ts';
import type { Instant } from '../../model/plan.ts';
import type { Procedure, Site, Start, Step } from '../../model/site.ts';
import type { Alert, HostLook, StoreLook } from '../../model/watchdog.ts';

/** What the schedules and the list of runs tell; `client/nights.ts` asks them. */
export interface NightFacts {
  /** Of the procedure; null: there is none. `paused`: why, null when it is not. */
  schedule(
    site: string,
    procedure: string,
  ): Promise<{ readonly createdAt: Instant; readonly paused: string | null } | null>;
  /** Whether a run of it began at this instant or later, however it ended. */
  startedSince(site: string, procedure: string, from: Instant): Promise<boolean>;
}

type Told = Omit<Alert, 'site'>;

/** A run that was started at the last moment is listed a little later. */
const listedWithinMs = 2 * 60_000;
/** As a run's window: a schedule may fire a little early, and clocks differ. */
const earlyMs = 5 * 60_000;
/** From the start of a night until its set must be there. */
const nightMs = 24 * 60 * 60_000;

/** Of what nothing holds. */
export function hostAlerts({ host, seen, error }: HostLook): readonly Told[] {
  if (error !== null) return [{ kind: 'host', subject: host, text: error }];
  if (seen === null) return [];
  return [
    ...seen.services.filter(isWrong).map(({ service, normally, state, detail }): Told => ({
      kind: 'service',
      subject: `${service} on ${host}`,
      text: `${state}, although normally ${normally}, and nothing holds it: ${detail}`,
    })),
    ...seen.balancers.flatMap(({ database, mode, error: why }): readonly Told[] => {
      const subject = `balancer of ${database}`;
      if (mode === null)
        return [{ kind: 'balancer', subject, text: `could not be asked: ${why ?? 'unknown'}` }];
      return mode === 'off' ? [{ kind: 'balancer', subject, text: 'off, and nothing holds it' }] : [];
    }),
  ];
}

/** What is on its way is judged by the next round. */
function isWrong({ normally, state }: HostSeen['services'][number]): boolean {
  if (state === 'starting' || state === 'stopping') return false;
  return normally === 'stopped' ? state !== 'stopped' : state !== 'running';
}

/** Nights that did not start, and schedules that are not there. */
export async function nightAlerts(site: Site, facts: NightFacts, now: Instant): Promise<readonly Told[]> {
  const found = await Promise.all(
    scheduled(site).map(async ([subject, { start }]): Promise<readonly Told[]> => {
      const schedule = await facts.schedule(site.site, subject);
      if (schedule === null)
        return [
          {
            kind: 'night',
            subject,
            text: 'it has a start, and no schedule: no night will begin. Make it: coldbackup schedule apply SITES',
          },
        ];
      const last = newestNight(
        site.timezone,
        start,
        now,
        ({ latestStart }) => Date.parse(latestStart) + listedWithinMs < Date.parse(now),
      );
      if (last === null || last.latestStart < schedule.createdAt) return [];
      const from = new Date(Date.parse(last.startAt) - earlyMs).toISOString();
      if (await facts.startedSince(site.site, subject, from)) return [];
      const paused = schedule.paused === null ? '' : `; its schedule is paused: ${schedule.paused}`;
      return [
        {
          kind: 'night',
          subject,
          text: `the night of ${last.night} did not start (at ${last.startAt}, latest ${last.latestStart})${paused}`,
        },
      ];
    }),
  );
  return found.flat();
}

/** Of every procedure with nights: in each of its stores there is a set since the start of the last night that is over. */
export async function setAlerts(
  site: Site,
  stores: readonly StoreLook[],
  facts: NightFacts,
  now: Instant,
): Promise<readonly Told[]> {
  const unread = stores.flatMap(({ store, error }): readonly Told[] =>
    error === null
      ? []
      : [{ kind: 'set', subject: `store ${store}`, text: `its sets could not be listed: ${error}` }],
  );
  const old = await Promise.all(
    scheduled(site).map(async ([procedure, { start, steps }]): Promise<readonly Told[]> => {
      const schedule = await facts.schedule(site.site, procedure);
      const night = newestNight(
        site.timezone,
        start,
        now,
        ({ startAt }) => Date.parse(startAt) + nightMs < Date.parse(now),
      );
      if (night === null || schedule === null || night.startAt < schedule.createdAt) return [];
      return storesOf(steps).flatMap((store): readonly Told[] => {
        const newest = stores.find((one) => one.store === store)?.newest;
        if (newest == null) return [];
        const publishedAt = newest[procedure];
        if (publishedAt !== undefined && publishedAt >= night.startAt) return [];
        const what = publishedAt === undefined ? 'there is no set' : `the newest set is of ${publishedAt}`;
        return [
          {
            kind: 'set',
            subject: `${procedure} in ${store}`,
            text: `${what}, and the night of ${night.night} should have made one`,
          },
        ];
      });
    }),
  );
  return [...unread, ...old.flat()];
}

/** The stores that nights of this site write to. */
export function storesOfNights(site: Site): readonly string[] {
  return [...new Set(scheduled(site).flatMap(([, { steps }]) => storesOf(steps)))].sort();
}

function scheduled(site: Site): readonly (readonly [string, Procedure & { readonly start: Start }])[] {
  return Object.entries(site.procedures).flatMap(([name, procedure]) =>
    procedure.start === undefined ? [] : [[name, { ...procedure, start: procedure.start }] as const],
  );
}

function storesOf(steps: readonly Step[]): readonly string[] {
  const found = steps.flatMap((step) => {
    if (step.kind === 'parallel') return Object.values(step.branches).flatMap(storesOf);
    return step.kind === 'backup' ? step.to : [];
  });
  return [...new Set(found)].sort();
}
