import { createHash } from 'node:crypto';
import { posix } from 'node:path';
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
  const chosen = named;
  if (chosen.length > 0) return chosen;
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

/** Each artifact in a folder of its own, with the paths of the host that it was copied on. */
function lookPart(site: Site, { database }: DatabaseRecord, request: RestoreRequest, to: string): Part {
  const { manifest, store: name, member, host: wanted } = request;
  const { restoreTo } = site;
  if (restoreTo === undefined)
    throw new PlanError(
      `the site file of ${site.site} names no folder to unpack below: add, at the top level, restore-to: /an/existing/folder`,
    );
  if (!to.startsWith(`${restoreTo}/`) || posix.normalize(to) !== to || to.endsWith('/'))
    throw new PlanError(`${to} is not below ${restoreTo}, which restore-to of the site file names`);
  if (member !== undefined)
    throw new PlanError('a member is not unpacked by itself: leave out --member, or --to');
  if (wanted !== undefined && !site.hosts.includes(wanted))
    throw new PlanError(`unknown host ${quoteWithNearest(wanted, site.hosts)}`);
  const { keeper, shared } = storeOf(site, name);
  const artifacts = manifest.artifacts.filter((one) => one.store === name && one.database === database);
  if (artifacts.length === 0)
    throw new PlanError(`set ${manifest.set.id} in ${name} has no artifact of ${database}`);
  const targets = artifacts.map((artifact): RestoreTarget => {
    const path = posix.join(to, artifact.name.replace(/\.tar\.zst$/, '').replaceAll('/', '.'));
    const whose = memberCopied(manifest, database, artifact.name);
    return {
      ...{ database, host: wanted ?? (shared ? keeper : artifact.host), artifact: artifact.name },
      ...(whose !== undefined && { member: whose }),
      ...{ contentBytes: artifact.contentBytes, replaces: [path], to: path },
    };
  });
  return { targets, restored: { database, members: [], fingerprint: null } };
}

function memberCopied({ databases }: Manifest, database: string, artifact: string): string | undefined {
  const sets = databases.flatMap((one) =>
    one.engine === 'mongodb' && one.database === database ? one.sets : [],
  );
  return sets.find((one) => one.artifact === artifact)?.member;
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
  if (first === undefined) throw new PlanError(`set ${request.manifest.set.id} has no copy of ${database}`);
  if (request.member !== undefined)
    return memberPart(site, engine, record, { ...request, member: request.member });
  assertSameKind(engine, record);
  const named = Object.keys(engine.members);
  const newSet = newSetOf(record, named, request);
  if (newSet === null) assertSameMembers(database, named, sets);
  const targets = Object.entries(engine.members).map(([member, { host, data }]): RestoreTarget => {
    const own = sets.find((set) => set.member === member) ?? setOf(sets, member) ?? first;
    const artifact = artifactOf(request, ({ name }) => name === own.artifact, database);
    return {
      ...{ database, member, host, ...artifact, replaces: [data] },
      ...(newSet !== null && { newSet }),
    };
  });
  const members = Object.entries(engine.members).map(([name, { host, service }]) => ({
    ...toPlanService(site, service),
    ...{ name, host },
  }));
  if (record.topology !== 'sharded')
    return { targets, restored: { database, members, fingerprint: first.fingerprint } };
  return {
    targets,
    restored: { database, members, fingerprint: null, cluster: clusterOf(site, engine, record) },
  };
}

/**
 * Of a replica set whose members the site file names otherwise: it becomes one of these, with an identity of its own. null:
 * it stays what it was, or cannot be another one. The same when it is planned again: a run that adopts what an earlier one
 * has unpacked must go on with it.
 */
function newSetOf(
  { database, topology, sets }: MongodbRecord,
  named: readonly string[],
  { manifest }: RestoreRequest,
): string | null {
  const before = [...new Set(sets.flatMap(namesIn))];
  if (topology !== 'replica-set' || sameNames(dataNames(sets), named)) return null;
  // An arbiter goes on voting for the members that it knows; apart from all of them it does no harm.
  if (before.length > dataNames(sets).length && before.some((name) => named.includes(name))) return null;
  return createHash('sha256')
    .update([manifest.set.id, database, ...named].join('\n'))
    .digest('hex')
    .slice(0, 24);
}

function dataNames(sets: readonly MongodbSetRecord[]): readonly string[] {
  const names = sets.flatMap((record) =>
    membersIn(record).flatMap((one) => (one['arbiterOnly'] === true ? [] : [String(one['host'])])),
  );
  return [...new Set(names)];
}

/** The copy of a member's set in its place; it is the set that goes on, and that it is made to follow. */
function memberPart(
  site: Site,
  engine: MongodbEngine,
  { database, sets }: MongodbRecord,
  request: RestoreRequest & { readonly member: string },
): Part {
  const { member } = request;
  const mine = setOf(sets, member);
  const own = sets.find((set) => set.member === member) ?? mine;
  const at = engine.members[member];
  if (own === undefined || mine === undefined || at === undefined)
    throw new PlanError(
      `${member} was no member of ${database} when the set was taken (${sets.map(toWords).join('; ')}): start it on an empty folder and let it synchronise itself`,
    );
  const { marker, version, role, replicaSetConfig } = own;
  if (role === 'standalone' || marker === null)
    throw new PlanError(
      `${member} of ${database} is no member of a replica set in the set: restore all of it, without --member`,
    );
  const others = Object.entries(engine.members)
    .filter(([name]) => name !== member && namesIn(own).includes(name))
    .map(([name, { host }]) => ({ name, host }));
  if (others.length === 0)
    throw new PlanError(
      `${member} is the only member of its set that the site file names: there is nobody to catch up with. Restore all of it, without --member`,
    );
  const { host, data, service } = at;
  const artifact = artifactOf(request, ({ name }) => name === own.artifact, database);
  return {
    targets: [{ database, member, host, ...artifact, replaces: [data] }],
    restored: {
      ...{ database, members: [{ ...toPlanService(site, service), name: member, host }], fingerprint: null },
      rejoins: { member, setId: setIdOf(replicaSetConfig), version, point: marker, others },
    },
  };
}

/** As extended JSON has it. */
function setIdOf(config: MongodbSetRecord['replicaSetConfig']): string | null {
  const { replicaSetId } = (config?.['settings'] ?? {}) as { replicaSetId?: { $oid?: string } };
  return replicaSetId?.$oid ?? null;
}

function toWords(record: MongodbSetRecord): string {
  return `${record.set}, a ${record.role} of ${namesIn(record).join(', ')}`;
}

type MongodbRecord = Extract<DatabaseRecord, { engine: 'mongodb' }>;

function assertSameKind({ mongos, routers }: MongodbEngine, { database, topology }: MongodbRecord): void {
  if ((topology === 'sharded') !== (mongos !== undefined))
    throw new PlanError(
      `${database} is a ${topology === 'sharded' ? 'sharded cluster' : topology} in the set, and ${mongos === undefined ? 'has no mongos' : 'a sharded cluster'} in the site file: it cannot be restored there`,
    );
  if (mongos !== undefined && routers === undefined)
    throw new PlanError(
      `${database} is a sharded cluster, and the site file does not say which services its routers are: a mongos that goes on would write with what it knew before. Name every one: mongodb: { routers: [mongos] }`,
    );
}

/** The site file has been checked to name mongos and its routers. */
function clusterOf(
  site: Site,
  { mongos, routers = [] }: MongodbEngine,
  { database, sets, shards, balancer }: MongodbRecord,
): NonNullable<PlanRestored['cluster']> {
  assertWhole(database, sets, shards ?? []);
  return {
    ...{ mongosHost: mongos?.host ?? '', shards: shards ?? [], balancer },
    routers: routers.map((service) => toPlanService(site, service)),
    sets: oneOfEach(sets).map((record) => ({
      ...{ set: record.set, role: record.role === 'config' ? 'config' : 'shard' },
      ...{ members: namesIn(record), fingerprint: record.fingerprint },
    })),
  };
}

/** config.shards, the shards' own identities and their replica sets say the same of each other, and each was copied. */
function assertWhole(
  database: string,
  sets: readonly MongodbSetRecord[],
  shards: readonly Readonly<Record<string, unknown>>[],
): void {
  const copied = sets.filter(({ role }) => role === 'shard');
  const problems = [
    ...(oneOfEach(sets).filter(({ role }) => role === 'config').length === 1 ? [] : ['its config servers']),
    ...(shards.length > 0 ? [] : ['the list of its shards']),
    ...shards.flatMap((shard) => {
      const [set, hosts = ''] = String(shard['host']).split('/');
      const record = copied.find((one) => one.set === set);
      if (record === undefined) return [`shard ${String(shard['_id'])}`];
      const unlike = [
        ...(hosts.split(',').every((name) => namesIn(record).includes(name)) ? [] : ['its members']),
        ...(record.shardIdentity?.['shardName'] === shard['_id'] ? [] : ['its name']),
      ];
      return unlike.map((what) => `shard ${String(shard['_id'])} as config.shards has it (${what})`);
    }),
  ];
  if (problems.length > 0)
    throw new PlanError(
      `the set does not hold all of ${database}: ${problems.join(', ')} cannot be found in it`,
    );
}

/** A member knows its set from its own data: with other members it would look for those of the set that was copied. */
function assertSameMembers(
  database: string,
  named: readonly string[],
  sets: readonly MongodbSetRecord[],
): void {
  if (sets.some((record) => membersIn(record).some((one) => one['arbiterOnly'] === true)))
    throw new PlanError(
      `${database} had an arbiter, which the site file does not name and a restore cannot stop: restore it by hand, docs/restore-by-hand.md`,
    );
  const isAlone = sets.some(({ role }) => role === 'standalone');
  const before = [...new Set(sets.flatMap(namesIn))];
  if (isAlone ? named.length === 1 : sameNames(before, named)) return;
  const were = oneOfEach(sets).map(toWords);
  throw new PlanError(
    `${database} was ${were.join('; ')}; and the site file names ${named.join(', ')}: ${isAlone ? 'a standalone server has no others' : 'the data can be restored to the same members only'}`,
  );
}

/** Of a set several members may have been copied. */
function oneOfEach(sets: readonly MongodbSetRecord[]): readonly MongodbSetRecord[] {
  return sets.filter(({ set }, index) => sets.findIndex((one) => one.set === set) === index);
}

function setOf(sets: readonly MongodbSetRecord[], member: string): MongodbSetRecord | undefined {
  return sets.find((record) => namesIn(record).includes(member));
}

function namesIn(record: MongodbSetRecord): readonly string[] {
  return record.role === 'standalone' ? [record.member] : membersIn(record).map((one) => String(one['host']));
}

function membersIn({ replicaSetConfig }: MongodbSetRecord): readonly Readonly<Record<string, unknown>>[] {
  return (replicaSetConfig?.['members'] ?? []) as readonly Record<string, unknown>[];
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
  databases: readonly PlanRestored[],
  targets: readonly RestoreTarget[],
): Plan['holds'] {
  const routers = databases.flatMap(({ cluster }) => cluster?.routers ?? []);
  const all: (readonly [string, string])[] = [
    ...[...services, ...routers].flatMap(({ service, hosts }) =>
      hosts.map((host) => [host, `service/${service}`] as const),
    ),
    ...databases.flatMap(({ members }) =>
      members.map(({ service, host }) => [host, `service/${service}`] as const),
    ),
    ...databases.flatMap(({ database, cluster }) =>
      cluster === undefined ? [] : [[cluster.mongosHost, `settings/${database}`] as const],
    ),
    ...targets.map(
      ({ host, database, member, to }) =>
        [
          host,
          to === undefined ? `data/${database}${member === undefined ? '' : `/${member}`}` : `look/${to}`,
        ] as const,
    ),
  ];
  // Those who are asked: another run that stops a member of the same set must not go on meanwhile.
  const asked = databases.flatMap(({ rejoins }) => rejoins?.others ?? []).map(({ host }) => host);
  const hosts = [...new Set([...all.map(([host]) => host), ...asked])].sort();
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

function newSetWarnings({ databases }: Manifest, targets: readonly RestoreTarget[]): readonly string[] {
  return databases.flatMap((record) => {
    const now = targets.flatMap(({ database, member, newSet }) =>
      database === record.database && newSet !== undefined && member !== undefined ? [member] : [],
    );
    if (record.engine !== 'mongodb' || now.length === 0) return [];
    const left = dataNames(record.sets).filter((name) => !now.includes(name));
    return [
      `${record.database} becomes a replica set of ${now.join(', ')}, as the site file names them, all alike: priorities, votes, tags and delays of its configuration are not taken over; users are`,
      `${left.join(', ')} of the set ${left.length === 1 ? 'is' : 'are'} not in the site file and not stopped: it is another replica set of the same name from then on, so let nobody know both`,
    ].slice(0, left.length === 0 ? 1 : 2);
  });
}

function aloneWarnings(databases: readonly PlanRestored[]): readonly string[] {
  return databases.flatMap(({ database, rejoins }) =>
    rejoins === undefined
      ? []
      : [
          `only ${rejoins.member} of ${database} is replaced, and catches up with ${rejoins.others.map(({ name }) => name).join(', ')}: they and who uses them go on, so it is not compared with the set`,
        ],
  );
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
