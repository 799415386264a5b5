import type { RestoreRequest } from '../../model/activities.ts';
import type { DatabaseRecord } from '../../model/manifest.ts';
import type { Plan, PlanRestored, PlanService, RestoreTarget } from '../../model/plan.ts';
import { restoredAs } from '../../model/resource.ts';
import type { Database, Site } from '../../model/site.ts';
import { resolveWindow, WindowError } from '../../model/window.ts';
import type { LoadedSite } from '../load.ts';
import { byDistance, quoteWithNearest } from '../nearest.ts';
import {
  assertCovered,
  hostsOf,
  perHost,
  PlanError,
  serviceHolds,
  timingOf,
  toPlanService,
} from '../plan.ts';
import { lookPart } from './look.ts';
import { aloneWarnings, mongodbPart, newSetWarnings } from './mongodb.ts';
import { artifactOf, storeOf, type Manifest, type Part } from './part.ts';

/** The procedure that a restore is called in journals, reports and screens. */
export const restoreName = 'restore';

/**
 * A restore as a run like any other: unpacked and verified beside the data while everything runs; then who uses it is
 * stopped, and the data replaced. A set that does not fit the site file is refused, with what does not fit.
 * @throws PlanError
 */
export function resolveRestore({ site, digest }: LoadedSite, request: RestoreRequest): Plan {
  const { store, manifest } = request;
  const records = chosenRecords(site, request);
  const parts = records.map((record) =>
    request.to === undefined ? partOf(site, record, request) : lookPart(site, record, request, request.to),
  );
  const targets = parts.flatMap((part) => part.targets);
  // Who uses it goes on with the other members.
  const stopped = request.member === undefined && request.to === undefined ? usedBy(site, records) : [];
  const services = stopped.map((service) => toPlanService(site, service));
  const restored = parts.map((part) => part.restored);
  const holds = holdsOf(services, restored, targets);
  const stores = { [store]: storeOf(site, store) };
  const window = windowOf(site, request);
  const source = { store, set: manifest.set, targets };
  const what = records.map(({ database }) => nameOf(database, request)).join(', ');
  const steps: Plan['steps'] = [
    {
      ...{ kind: 'unpack', id: '1', onFailure: 'fail', ...source },
      label: `unpack and verify ${what} ${request.to === undefined ? 'beside the data' : `in ${request.to}`}`,
    },
    ...(services.length === 0
      ? []
      : [
          {
            ...({ kind: 'stop', id: '2', onFailure: 'fail' } as const),
            ...{ label: `stop ${services.map(({ service }) => service).join(', ')}`, services },
          },
        ]),
    {
      ...{ kind: 'replace', id: services.length === 0 ? '2' : '3', onFailure: 'fail', ...source },
      label: request.to === undefined ? `replace the data of ${what}` : 'keep what was unpacked',
      usedBy: services.map(({ service, hosts }) => ({ service, hosts })),
      databases: restored,
    },
  ];
  return {
    ...{ protocol: 1, site: site.site, procedure: restoreName, siteDigest: digest, timezone: site.timezone },
    ...{ night: window.night, windowStart: window.windowStart, restartAt: null, upBy: window.upBy },
    hardLimit: new Date(Date.parse(window.upBy) + site.limits.giveUpAfterMs).toISOString(),
    ...{ steps, holds, stores, keep: null },
    hosts: hostsOf([], holds, stores),
    timing: timingOf(site, holds),
    warnings:
      request.to !== undefined
        ? [`nothing is stopped, and nothing is replaced: ${request.to} is yours to look at, and to remove`]
        : request.member === undefined
          ? [...newSetWarnings(manifest, targets), ...warningsOf(site, manifest, records)]
          : aloneWarnings(restored),
  };
}

function nameOf(database: string, { member }: RestoreRequest): string {
  return member === undefined ? database : `${database} ${member}`;
}

function chosenRecords(
  site: Site,
  { manifest: { databases, set }, database: name, member }: RestoreRequest,
): readonly DatabaseRecord[] {
  const named = databases.filter(({ database }) => name === undefined || database === name);
  if (member !== undefined && named.length > 0) return [ofMember(site, named, member)];
  if (named.length > 0) return named;
  const known = databases.map(({ database }) => database);
  throw new PlanError(
    name === undefined
      ? `set ${set.id} holds no database`
      : `set ${set.id} holds no database ${quoteWithNearest(name, known)} (it holds: ${byDistance(name, known).join(', ')})`,
  );
}

/** Members of several databases have different names, as they are host and port. */
function ofMember(site: Site, records: readonly DatabaseRecord[], member: string): DatabaseRecord {
  const members = records.map((record) => {
    const engine = Object.hasOwn(site.databases, record.database)
      ? site.databases[record.database]?.engine
      : undefined;
    return { record, names: engine?.kind === 'mongodb' ? Object.keys(engine.members) : [] };
  });
  const found = members.find(({ names }) => names.includes(member));
  if (found !== undefined) return found.record;
  const known = members.flatMap(({ names }) => names);
  throw new PlanError(
    `the site file of ${site.site} names no member ${quoteWithNearest(member, known)}; what is restored holds ${records.map(({ database }) => database).join(', ')}`,
  );
}

function partOf(site: Site, record: DatabaseRecord, request: RestoreRequest): Part {
  const { database } = record;
  const { engine } = databaseNamed(site, database);
  if (engine.kind !== record.engine)
    throw new PlanError(
      `${database} is ${record.engine} in the set, and ${engine.kind} in the site file: it cannot be restored there`,
    );
  if (engine.kind === 'mongodb' && record.engine === 'mongodb')
    return mongodbPart(site, engine, record, request);
  if (engine.kind !== 'files') throw new TypeError('an engine that is not known');
  const artifact = artifactOf(request, (one) => one.database === database, database);
  return {
    targets: [{ database, host: engine.host, ...artifact, replaces: engine.roots }],
    restored: { database, members: [], fingerprint: null },
  };
}

function databaseNamed(site: Site, name: string): Database {
  const found = Object.hasOwn(site.databases, name) ? site.databases[name] : undefined;
  if (found !== undefined) return found;
  throw new PlanError(
    `the set holds ${quoteWithNearest(name, Object.keys(site.databases))}, which the site file of ${site.site} does not name; restore one of the others with --database`,
  );
}

/** In the order of the site file; bringing back begins with the last. */
function usedBy(site: Site, records: readonly DatabaseRecord[]): readonly string[] {
  return [...new Set(records.flatMap(({ database }) => databaseNamed(site, database).usedBy))];
}

function holdsOf(
  services: readonly PlanService[],
  databases: readonly PlanRestored[],
  targets: readonly RestoreTarget[],
): Plan['holds'] {
  const routers = databases.flatMap(({ cluster }) => cluster?.routers ?? []);
  const asked = databases.flatMap(({ rejoins }) => rejoins?.others ?? []).map(({ host }) => host);
  return perHost(
    [
      ...[...services, ...routers, ...databases.flatMap(({ members }) => members)].flatMap(serviceHolds),
      ...databases.flatMap(({ database, cluster }) =>
        cluster === undefined ? [] : [[cluster.mongosHost, { kind: 'settings', database }] as const],
      ),
      ...targets.map((target) => [target.host, restoredAs(target)] as const),
    ],
    asked,
  );
}

function windowOf(site: Site, { startedAt, upBy }: RestoreRequest) {
  const { longestDownMs, graceMs } = site.limits;
  const longest = new Date(Date.parse(startedAt) + longestDownMs - graceMs).toISOString();
  try {
    const window = resolveWindow({
      ...{ timezone: site.timezone, startedAt, upBy: upBy ?? longest },
      procedure: { restart: { kind: 'when-done' }, upBy: '00:00' },
    });
    assertCovered(site, window);
    return window;
  } catch (error) {
    if (error instanceof WindowError) throw new PlanError(`${site.site}/${restoreName}: ${error.message}`);
    throw error;
  }
}

function warningsOf(site: Site, manifest: Manifest, records: readonly DatabaseRecord[]): readonly string[] {
  const restored = records.map(({ database }) => database);
  const others = Object.keys(site.databases).filter((database) => !restored.includes(database));
  return [
    ...(manifest.complete ? [] : [`set ${manifest.set.id} is incomplete: not all databases are in it`]),
    ...others.map((database) => `database ${database} is not restored: it stays as it is now`),
    ...records.flatMap(({ database }) => {
      const { engine, usedBy: writers } = databaseNamed(site, database);
      return [
        ...(writers.length === 0
          ? [`the site file names nobody who uses ${database} (used-by): nothing is stopped for it`]
          : []),
        ...(engine.kind === 'files' && engine.exclude.length > 0
          ? [
              `what the patterns of ${database} exclude (${engine.exclude.join(', ')}) is not in the set: it stays in what is moved aside`,
            ]
          : []),
      ];
    }),
  ];
}
