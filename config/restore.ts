import type { RestoreRequest } from '../model/activities.ts';
import type { DatabaseRecord, MongodbSetRecord } from '../model/manifest.ts';
import type { Plan, PlanRestored, PlanService, RestoreTarget } from '../model/plan.ts';
import type { Database, MongodbEngine, Site } from '../model/site.ts';
import { resolveWindow, WindowError } from '../model/window.ts';
import type { LoadedSite } from './load.ts';
import { assertCovered, hostsOf, PlanError, timingOf, toPlanService } from './plan.ts';
import { byDistance, quoteWithNearest } from './nearest.ts';

/** The procedure that a restore is called in journals, reports and screens. */
export const restoreName = 'restore';

type Manifest = RestoreRequest['manifest'];

/**
 * A restore as a run like any other: unpacked and verified beside the data while everything runs; then who uses it is
 * stopped, and the data replaced. A set that does not fit the site file is refused, with what does not fit.
 * @throws PlanError
 */
export function resolveRestore({ site, digest }: LoadedSite, request: RestoreRequest): Plan {
  const { store, manifest } = request;
  const records = chosenRecords(manifest, request.database);
  const parts = records.map((record) => partOf(site, record, request));
  const targets = parts.flatMap((part) => part.targets);
  const services = usedBy(site, records).map((service) => toPlanService(site, service));
  const members = parts.flatMap(({ restored }) => restored.members);
  const holds = holdsOf(services, members, targets);
  const stores = { [store]: storeOf(site, store) };
  const window = windowOf(site, request);
  const source = { store, set: manifest.set, targets };
  const steps: Plan['steps'] = [
    {
      ...{ kind: 'unpack', id: '1', onFailure: 'fail', ...source },
      label: `unpack and verify ${records.map(({ database }) => database).join(', ')} beside the data`,
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
      label: `replace the data of ${records.map(({ database }) => database).join(', ')}`,
      usedBy: services.map(({ service, hosts }) => ({ service, hosts })),
      databases: parts.map(({ restored }) => restored),
    },
  ];
  return {
    ...{ protocol: 1, site: site.site, procedure: restoreName, siteDigest: digest, timezone: site.timezone },
    ...{ night: window.night, windowStart: window.windowStart, restartAt: null, upBy: window.upBy },
    hardLimit: new Date(Date.parse(window.upBy) + site.limits.giveUpAfterMs).toISOString(),
    ...{ steps, holds, stores, keep: null },
    hosts: hostsOf([], holds, stores),
    timing: timingOf(site, holds),
    warnings: warningsOf(site, manifest, records),
  };
}

function chosenRecords({ databases, set }: Manifest, name: string | undefined): readonly DatabaseRecord[] {
  const chosen = databases.filter(({ database }) => name === undefined || database === name);
  if (chosen.length > 0) return chosen;
  const known = databases.map(({ database }) => database);
  throw new PlanError(
    name === undefined
      ? `set ${set.id} holds no database`
      : `set ${set.id} holds no database ${quoteWithNearest(name, known)} (it holds: ${byDistance(name, known).join(', ')})`,
  );
}

interface Part {
  readonly targets: readonly RestoreTarget[];
  readonly restored: PlanRestored;
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

/** Every member gets the copy that was taken of itself, or else the one of its set: the same documents, and the same set. */
function mongodbPart(
  site: Site,
  engine: MongodbEngine,
  record: Extract<DatabaseRecord, { engine: 'mongodb' }>,
  request: RestoreRequest,
): Part {
  const { database, sets } = record;
  const [first] = sets;
  if (record.topology === 'sharded' || engine.mongos !== undefined || first === undefined)
    throw new PlanError(
      `${database} is a sharded cluster: coldbackup restores files, standalone servers and replica sets so far. By hand: docs/restore-by-hand.md`,
    );
  assertSameMembers(database, Object.keys(engine.members), first);
  const targets = Object.entries(engine.members).map(([member, { host, data }]): RestoreTarget => {
    const own = sets.find((set) => set.member === member) ?? first;
    const artifact = artifactOf(request, ({ name }) => name === own.artifact, database);
    return { database, member, host, ...artifact, replaces: [data] };
  });
  const members = Object.entries(engine.members).map(([name, { host, service }]) => ({
    ...toPlanService(site, service),
    ...{ name, host },
  }));
  return { targets, restored: { database, members, fingerprint: first.fingerprint } };
}

/** A member knows its set from its own data: with other members it would look for those of the set that was copied. */
function assertSameMembers(
  database: string,
  named: readonly string[],
  { role, member, replicaSetConfig }: MongodbSetRecord,
): void {
  const config = (replicaSetConfig?.['members'] ?? []) as readonly Record<string, unknown>[];
  if (role !== 'standalone' && config.some((one) => one['arbiterOnly'] === true))
    throw new PlanError(
      `${database} had an arbiter, which the site file does not name and a restore cannot stop: restore it by hand, docs/restore-by-hand.md`,
    );
  const before = role === 'standalone' ? [member] : config.map((one) => String(one['host']));
  const fits = role === 'standalone' ? named.length === 1 : sameNames(before, named);
  if (fits) return;
  throw new PlanError(
    `${database} was a ${role} of ${before.join(', ')}, and the site file names ${named.join(', ')}: the data can be restored to the same members only`,
  );
}

function sameNames(one: readonly string[], other: readonly string[]): boolean {
  return [...one].sort().join('\n') === [...other].sort().join('\n');
}

function artifactOf(
  { manifest, store }: RestoreRequest,
  isMeant: (artifact: Manifest['artifacts'][number]) => boolean,
  database: string,
): Pick<RestoreTarget, 'artifact' | 'contentBytes'> {
  const found = manifest.artifacts.find((artifact) => artifact.store === store && isMeant(artifact));
  if (found !== undefined) return { artifact: found.name, contentBytes: found.contentBytes };
  throw new PlanError(`set ${manifest.set.id} in ${store} has no artifact of ${database}`);
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
  members: PlanRestored['members'],
  targets: readonly RestoreTarget[],
): Plan['holds'] {
  const all: (readonly [string, string])[] = [
    ...services.flatMap(({ service, hosts }) => hosts.map((host) => [host, `service/${service}`] as const)),
    ...members.map(({ service, host }) => [host, `service/${service}`] as const),
    ...targets.map(
      ({ host, database, member }) =>
        [host, `data/${database}${member === undefined ? '' : `/${member}`}`] as const,
    ),
  ];
  const hosts = [...new Set(all.map(([host]) => host))].sort();
  return Object.fromEntries(
    hosts.map((host) => [
      host,
      [...new Set(all.filter(([on]) => on === host).map(([, hold]) => hold))].sort(),
    ]),
  );
}

function storeOf(site: Site, name: string): Plan['stores'][string] {
  const store = Object.hasOwn(site.stores, name) ? site.stores[name] : undefined;
  if (store !== undefined) return { keeper: store.keeper, shared: store.shared };
  throw new PlanError(`unknown store ${quoteWithNearest(name, Object.keys(site.stores))}`);
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
