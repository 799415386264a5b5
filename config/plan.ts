import type {
  Instant,
  Plan,
  PlanBackup,
  PlanDatabase,
  PlanService,
  PlanStep,
  PlanStop,
  PlanWait,
} from '../model/plan.ts';
import type {
  Database,
  BackupStep,
  HostName,
  OnFailure,
  Procedure,
  Site,
  Step,
  StopStep,
  WaitStep,
} from '../model/site.ts';
import { resolveWindow, WindowError } from '../model/window.ts';
import type { Window } from '../model/window.ts';
import { servicesAmong, toHold, type Resource } from '../model/resource.ts';
import type { LoadedSite } from './load.ts';
import { durationWords } from './duration.ts';
import { byDistance, quoteWithNearest } from './nearest.ts';
import { contains } from './paths.ts';

export interface PlanRequest {
  readonly procedure: string;
  /** Of the schedule when it has one, else of the run. */
  readonly startedAt: Instant;
  /** Given by hand for a run outside its window: a clock time or an instant. */
  readonly upBy?: string;
  /** Only to be looked at: outside the window, that of the next night. */
  readonly preview?: boolean;
}

/** Thrown when there is no plan for a request: an unknown procedure, or a run outside of its window. */
export class PlanError extends Error {
  override readonly name = 'PlanError';
}

/**
 * A procedure resolved against its site: instants for clock times, hosts for names, and all that it can change.
 * @throws PlanError
 */
export function resolvePlan(loaded: LoadedSite, request: PlanRequest): Plan {
  const { site, digest } = loaded;
  const procedure = procedureNamed(site, request.procedure);
  const window = windowOf(site, procedure, request);
  assertCovered(site, window);
  const steps = toPlanSteps({ site, window, onFailure: procedure.onFailure }, procedure.steps, '');
  const all = flatten(steps);
  const holds = holdsOf(all);
  const stores = storesOf(site, all);
  return {
    protocol: 1,
    site: site.site,
    procedure: request.procedure,
    siteDigest: digest,
    timezone: site.timezone,
    night: window.night,
    windowStart: window.windowStart,
    ...(window.latestStart !== null && { latestStart: window.latestStart }),
    ...(procedure.whenHeld === 'wait' && { waitForHoldsUntil: waitForHoldsUntil(window, request.startedAt) }),
    restartAt: window.restartAt,
    upBy: window.upBy,
    hardLimit: new Date(Date.parse(window.upBy) + site.limits.giveUpAfterMs).toISOString(),
    steps,
    hosts: hostsOf(all, holds, stores),
    holds,
    timing: timingOf(site, holds),
    stores,
    keep: procedure.keep ?? null,
    ...(procedure.keepIn !== undefined && { keepIn: procedure.keepIn }),
    ...(procedure.proveEveryMs !== undefined && { proveEveryMs: procedure.proveEveryMs }),
    warnings: [...windowWarnings(procedure, window), ...notInTheSet(site, all)],
  };
}

/** A night that begins later than its latest start is none: nor does it by waiting. */
function waitForHoldsUntil({ latestStart, upBy }: Window, startedAt: Instant): Instant {
  const anHourLater = new Date(Date.parse(startedAt) + HOUR_MS).toISOString();
  return latestStart ?? (anHourLater < upBy ? anHourLater : upBy);
}

const HOUR_MS = 3_600_000;

interface Context {
  readonly site: Site;
  readonly window: Window;
  readonly onFailure: OnFailure;
}

function procedureNamed(site: Site, name: string): Procedure {
  if (Object.hasOwn(site.procedures, name) && site.procedures[name] !== undefined)
    return site.procedures[name];
  const known = Object.keys(site.procedures);
  throw new PlanError(
    `unknown procedure ${quoteWithNearest(name, known)} (site ${site.site} has: ${byDistance(name, known).join(', ')})`,
  );
}

function windowOf(
  site: Site,
  procedure: Procedure,
  { procedure: name, startedAt, upBy, preview = false }: PlanRequest,
): Window {
  try {
    return resolveWindow({
      timezone: site.timezone,
      procedure,
      startedAt,
      preview,
      ...(upBy === undefined ? {} : { upBy }),
    });
  } catch (error) {
    if (error instanceof WindowError) throw new PlanError(`${site.site}/${name}: ${error.message}`);
    throw error;
  }
}

/** Nobody plans for longer than agents let anything stay down. */
export function assertCovered(
  { limits }: Pick<Site, 'limits'>,
  { windowStart, upBy }: Pick<Window, 'windowStart' | 'upBy'>,
): void {
  const windowMs = Date.parse(upBy) - Date.parse(windowStart);
  if (windowMs <= limits.longestDownMs) return;
  throw new PlanError(
    `up-by ${upBy} is ${durationWords(windowMs)} after the start, and limits.longest-down is ${durationWords(limits.longestDownMs)}: ` +
      'each agent would bring its host back before up-by. Choose an earlier one, or raise limits.longest-down',
  );
}

function toPlanSteps(context: Context, steps: readonly Step[], prefix: string): readonly PlanStep[] {
  return steps.map((step, index) => toPlanStep(context, step, `${prefix}${index + 1}`));
}

function toPlanStep(context: Context, step: Step, id: string): PlanStep {
  return { ...toPlanKind(context, step, id), onFailure: step.onFailure ?? context.onFailure };
}

/** A plan step but for what every kind has. */
type PlanKind = PlanStep extends infer S ? (S extends PlanStep ? Omit<S, 'onFailure'> : never) : never;

function toPlanKind(context: Context, step: Step, id: string): PlanKind {
  switch (step.kind) {
    case 'stop':
      return toPlanStop(context, step, id);
    case 'wait':
      return toPlanWait(context, step, id);
    case 'backup':
      return toPlanBackup(context, step, id);
    case 'parallel': {
      const branches = Object.entries(step.branches).map(([name, steps]) => ({
        name,
        steps: toPlanSteps(context, steps, `${id}/${name}/`),
      }));
      const label = `at the same time: ${branches.map(({ name }) => name).join(', ')}`;
      return { kind: 'parallel', id, label, branches };
    }
  }
}

function toPlanStop({ site }: Context, { services }: StopStep, id: string): Omit<PlanStop, 'onFailure'> {
  return {
    kind: 'stop',
    id,
    label: `stop ${services.join(', ')}`,
    services: services.map((service) => toPlanService(site, service)),
  };
}

export function toPlanService(site: Site, service: string): PlanService {
  const { hosts, stopWithinMs, readyWithinMs } = mustBe(site.services, service);
  return { service, hosts, stopWithinMs, readyWithinMs };
}

function toPlanWait({ site, window }: Context, wait: WaitStep, id: string): Omit<PlanWait, 'onFailure'> {
  const until = wait.until === undefined ? null : window.deadline(wait.until);
  const { otherwise } = wait;
  const base = {
    kind: 'wait',
    id,
    until,
    otherwise:
      typeof otherwise === 'string' ? otherwise : { ...otherwise, by: window.deadline(otherwise.by) },
  } as const;
  switch (wait.for.kind) {
    case 'clock': {
      const { at } = wait.for;
      return { ...base, label: `wait until ${at}`, for: { kind: 'clock', at: window.deadline(at) } };
    }
    case 'job': {
      const { job, beganAfter } = wait.for;
      return {
        ...base,
        label: `wait for job ${job}`,
        for: {
          kind: 'job',
          job,
          host: mustBe(site.jobs, job).host,
          beganAfter: window.since(beganAfter, until ?? window.upBy),
        },
      };
    }
    case 'count': {
      const { count, reaches } = wait.for;
      const { host } = mustBe(site.counts, count);
      return {
        ...base,
        label: `wait for ${count} = ${reaches}`,
        for: { kind: 'count', count, host, reaches },
      };
    }
  }
}

function toPlanBackup({ site }: Context, step: BackupStep, id: string): Omit<PlanBackup, 'onFailure'> {
  return {
    kind: 'backup',
    id,
    label: `${step.method} backup of ${step.databases.join(', ')} to ${step.to.join(', ')}`,
    to: step.to,
    ...(step.to.length > 1 && { needs: step.needs ?? 'all' }),
    databases: step.databases.map((database) => toPlanDatabase(site, database, step.from)),
  };
}

function toPlanDatabase(site: Site, database: string, from: BackupStep['from']): PlanDatabase {
  const { engine, usedBy: writers } = mustBe(site.databases, database);
  const usedBy = writers.map((service) => ({ service, hosts: mustBe(site.services, service).hosts }));
  if (engine.kind === 'files')
    return {
      ...{ engine: 'files', database, usedBy, host: engine.host },
      ...(engine.copyBy !== undefined && { copyBy: engine.copyBy }),
    };
  return {
    engine: 'mongodb',
    database,
    usedBy,
    from,
    mongosHost: engine.mongos?.host ?? null,
    members: Object.entries(engine.members).map(([name, { host, service }]) => ({
      ...toPlanService(site, service),
      name,
      host,
    })),
    allowSetDown: engine.allow.includes('set-down'),
    ...(engine.copyBy !== undefined && { copyBy: engine.copyBy }),
    ...(engine.fingerprint !== undefined && { fingerprint: engine.fingerprint }),
  };
}

function flatten(steps: readonly PlanStep[]): readonly PlanStep[] {
  return steps.flatMap((step) =>
    step.kind === 'parallel' ? [step, ...step.branches.flatMap((branch) => flatten(branch.steps))] : [step],
  );
}

type Hold = readonly [HostName, Resource];

/** All that the plan can change: also each member that an election may make the one that is stopped. */
function holdsOf(all: readonly PlanStep[]): Plan['holds'] {
  return perHost(
    all.flatMap((step): readonly Hold[] => {
      if (step.kind === 'stop') return step.services.flatMap(serviceHolds);
      return step.kind === 'backup' ? step.databases.flatMap(databaseHolds) : [];
    }),
  );
}

/** @param asked hosts that take part and hold nothing, or not only: another run must not change anything there meanwhile. */
export function perHost(holds: readonly Hold[], asked: readonly HostName[] = []): Plan['holds'] {
  const hosts = sorted([...holds.map(([host]) => host), ...asked]);
  return Object.fromEntries(
    hosts.map((host) => [
      host,
      sorted(holds.filter(([on]) => on === host).map(([, resource]) => toHold(resource))),
    ]),
  );
}

export function serviceHolds({ service, hosts }: PlanService): readonly Hold[] {
  return hosts.map((host) => [host, { kind: 'service', service }] as const);
}

function databaseHolds(database: PlanDatabase): readonly Hold[] {
  const { database: name, copyBy } = database;
  if (database.engine === 'files')
    return copyBy === undefined ? [] : [[database.host, { kind: 'snapshot', database: name }]];
  const { members, mongosHost } = database;
  return [
    ...members.flatMap(serviceHolds),
    ...(mongosHost === null ? [] : [[mongosHost, { kind: 'balancer', database: name }] as const]),
    ...(copyBy === undefined
      ? []
      : members.map(
          ({ host, name: member }) => [host, { kind: 'snapshot', database: name, member }] as const,
        )),
  ];
}

export function timingOf(site: Site, holds: Plan['holds']): Plan['timing'] {
  return Object.fromEntries(
    servicesAmong(sorted(Object.values(holds).flat())).map((name) => {
      const { stopWithinMs, readyWithinMs } = mustBe(site.services, name);
      return [name, { stopWithinMs, readyWithinMs }];
    }),
  );
}

function storesOf(site: Site, all: readonly PlanStep[]): Plan['stores'] {
  const names = sorted(all.flatMap((step) => (step.kind === 'backup' ? step.to : [])));
  return Object.fromEntries(
    names.map((name) => {
      const { keeper, shared } = mustBe(site.stores, name);
      return [name, { keeper, shared }];
    }),
  );
}

export function hostsOf(
  all: readonly PlanStep[],
  holds: Plan['holds'],
  stores: Plan['stores'],
): readonly HostName[] {
  const asked = all.flatMap((step): readonly HostName[] => {
    if (step.kind === 'wait') return step.for.kind === 'clock' ? [] : [step.for.host];
    if (step.kind !== 'backup') return [];
    return step.databases.flatMap((database) => (database.engine === 'files' ? [database.host] : []));
  });
  return sorted([...Object.keys(holds), ...asked, ...Object.values(stores).map(({ keeper }) => keeper)]);
}

/** What a run by hand cannot keep of the procedure's times. */
function windowWarnings(procedure: Procedure, window: Window): readonly string[] {
  const { restart } = procedure;
  const lost =
    restart.kind === 'at' && window.restartAt === null
      ? [`restart at ${restart.at} is not before up-by: bringing back begins when all is done`]
      : [];
  const cut = deadlinesOf(procedure.steps)
    .filter((clock) => window.deadline(clock) !== window.at(clock))
    .map(
      (clock) =>
        `the deadline ${clock} is later than bringing back begins: it is cut to ${window.deadline(clock)}`,
    );
  return [...lost, ...new Set(cut)];
}

function deadlinesOf(steps: readonly Step[]): readonly string[] {
  return steps.flatMap((step) => {
    if (step.kind === 'parallel') return Object.values(step.branches).flatMap(deadlinesOf);
    if (step.kind !== 'wait') return [];
    if (step.for.kind === 'clock') return [step.for.at];
    return step.until === undefined ? [] : [step.until];
  });
}

/** Databases that no step backs up, and what services keep outside of those that one does. */
function notInTheSet(site: Site, all: readonly PlanStep[]): readonly string[] {
  const backups = all.flatMap((step) => (step.kind === 'backup' ? step.databases : []));
  const inSet = new Set(backups.map(({ database }) => database));
  const covered = [...inSet].flatMap((database) => placesOf(mustBe(site.databases, database).engine));
  const isCovered = (host: HostName, path: string): boolean =>
    covered.some((place) => place.host === host && contains(place.path, path));
  return [
    ...Object.keys(site.databases)
      .filter((database) => !inSet.has(database))
      .map((database) => `database ${database} is not in the set: no step of this procedure backs it up`),
    ...Object.entries(site.services).flatMap(([service, { hosts, data = [] }]) =>
      data.flatMap((path) => {
        const left = hosts.filter((host) => !isCovered(host, path));
        if (left.length === 0) return [];
        return [
          `service ${service} keeps ${path} on ${left.join(', ')}, which is not in the set: no database of this procedure has it`,
        ];
      }),
    ),
  ];
}

function placesOf(engine: Database['engine']): readonly { readonly host: HostName; readonly path: string }[] {
  if (engine.kind === 'files') return engine.roots.map((path) => ({ host: engine.host, path }));
  // Of a replica set one member is copied, which has what the others have.
  return Object.values(engine.members).map(({ host, data }) => ({ host, path: data }));
}

function mustBe<T>(named: Readonly<Record<string, T>>, name: string): T {
  const found = named[name];
  if (found === undefined) throw new TypeError(`"${name}" is not in the parsed site: references are checked`);
  return found;
}

function sorted(names: readonly string[]): readonly string[] {
  return [...new Set(names)].sort();
}
