import { createHash } from 'node:crypto';
import type { RestoreRequest } from '../../model/activities.ts';
import type { MongodbRecord, MongodbSetRecord } from '../../model/manifest.ts';
import type { PlanRestored, RestoreTarget } from '../../model/plan.ts';
import type { MongodbEngine, Site } from '../../model/site.ts';
import { membersOfSet, shardsAt } from '../../model/shards.ts';
import { PlanError, toPlanService } from '../plan.ts';
import { artifactOf, type Manifest, type Part } from './part.ts';

/** Every member gets the copy that was taken of itself, or else the one of its set: the same documents, and the same set. */
export function mongodbPart(
  site: Site,
  engine: MongodbEngine,
  record: MongodbRecord,
  request: RestoreRequest,
): Part {
  const { database, sets } = record;
  const [first] = sets;
  if (first === undefined) throw new PlanError(`set ${request.manifest.set.id} has no copy of ${database}`);
  if (request.member !== undefined)
    return memberPart(site, engine, record, { ...request, member: request.member });
  assertSameKind(engine, record);
  const others = otherMembers(engine, record);
  if (others === null) assertSameMembers(engine, record);
  const targets = Object.entries(engine.members).map(([member, { host, data }]): RestoreTarget => {
    const [set, members] = [...(others ?? [])].find(([, names]) => names.includes(member)) ?? [];
    const copies = set === undefined ? sets : sets.filter((one) => one.set === set);
    const own = copies.find((one) => one.member === member) ?? setOf(copies, member) ?? copies[0] ?? first;
    const artifact = artifactOf(request, ({ name }) => name === own.artifact, database);
    return {
      ...{ database, member, host, ...artifact, replaces: [data] },
      ...(members !== undefined && { newSet: newSetId(request, database, members) }),
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
    restored: { database, members, fingerprint: null, cluster: clusterOf(site, engine, record, others) },
  };
}

/** The members of each replica set, by its name. */
type MembersOf = ReadonlyMap<string, readonly string[]>;

/**
 * Where the site file names other members than the set was taken of: those of each replica set, which becomes one of these,
 * with an identity of its own; of a cluster all of them do. null: it stays what it was, or cannot be another one.
 */
function otherMembers(engine: MongodbEngine, { database, topology, sets }: MongodbRecord): MembersOf | null {
  const [first] = sets;
  const named = Object.keys(engine.members);
  if (topology === 'standalone' || first === undefined) return null;
  const before = new Map(oneOfEach(sets).map((record) => [record.set, dataNames([record])]));
  const now = topology === 'sharded' ? bySet(engine) : new Map([[first.set, named]]);
  if (now.size === 0 || [...before, ...now].every(([set]) => sameNames(before.get(set), now.get(set))))
    return null;
  // An arbiter goes on voting for the members that it knows; apart from all of them it does no harm.
  if (haveArbiter(sets) && sets.flatMap(namesIn).some((name) => named.includes(name))) return null;
  if (!sameNames([...before.keys()], [...now.keys()]))
    throw new PlanError(
      `${database} has the replica sets ${[...before.keys()].join(', ')} in the set, and ${[...now.keys()].join(', ')} in the site file: members may be others, shards may not`,
    );
  return now;
}

/** Empty where the site file does not say it. */
function bySet({ members }: MongodbEngine): MembersOf {
  const sets = Object.values(members).flatMap(({ replicaSet }) => replicaSet ?? []);
  return new Map(sets.map((set) => [set, membersOfSet(members, set)]));
}

/** The same when it is planned again: a run that adopts what an earlier one has unpacked must go on with it. */
function newSetId({ manifest }: RestoreRequest, database: string, members: readonly string[]): string {
  return createHash('sha256')
    .update([manifest.set.id, database, ...members].join('\n'))
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
  { mongos, routers = [], members }: MongodbEngine,
  { database, sets, shards, balancer }: MongodbRecord,
  others: MembersOf | null,
): NonNullable<PlanRestored['cluster']> {
  const before = shards ?? [];
  assertWhole(database, sets, before);
  return {
    ...{ mongosHost: mongos?.host ?? '', balancer },
    shards: others === null ? before : shardsAt(members, before),
    routers: routers.map((service) => toPlanService(site, service)),
    sets: oneOfEach(sets).map((record) => ({
      ...{ set: record.set, role: record.role === 'config' ? 'config' : 'shard' },
      ...{ members: others?.get(record.set) ?? namesIn(record), fingerprint: record.fingerprint },
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
function assertSameMembers(engine: MongodbEngine, { database, topology, sets }: MongodbRecord): void {
  const named = Object.keys(engine.members);
  if (haveArbiter(sets))
    throw new PlanError(
      `${database} had an arbiter, which the site file does not name and a restore cannot stop: restore it by hand, docs/restore-by-hand.md`,
    );
  const isAlone = sets.some(({ role }) => role === 'standalone');
  const before = [...new Set(sets.flatMap(namesIn))];
  if (isAlone ? named.length === 1 : sameNames(before, named)) return;
  const were = oneOfEach(sets).map(toWords);
  throw new PlanError(
    `${database} was ${were.join('; ')}; and the site file names ${named.join(', ')}: ${isAlone ? 'a standalone server has no others' : topology === 'sharded' ? 'to restore it to others, say of each which replica set it is of: replica-set: shard1' : 'the data can be restored to the same members only'}`,
  );
}

function haveArbiter(sets: readonly MongodbSetRecord[]): boolean {
  return sets.some((record) => membersIn(record).some((one) => one['arbiterOnly'] === true));
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

function sameNames(one: readonly string[] = [], other: readonly string[] = []): boolean {
  return [...one].sort().join('\n') === [...other].sort().join('\n');
}

export function newSetWarnings(
  { databases }: Manifest,
  targets: readonly RestoreTarget[],
): readonly string[] {
  return databases.flatMap((record) => {
    const now = targets.flatMap(({ database, member, newSet }) =>
      database === record.database && newSet !== undefined && member !== undefined ? [member] : [],
    );
    if (record.engine !== 'mongodb' || now.length === 0) return [];
    const left = dataNames(record.sets).filter((name) => !now.includes(name));
    const kind = record.topology === 'sharded' ? 'sharded cluster' : 'replica set';
    return [
      `${record.database} becomes a ${kind} of ${now.join(', ')}, as the site file names them, all alike: priorities, votes, tags and delays of ${kind === 'replica set' ? 'its configuration' : 'its configurations'} are not taken over; users are`,
      `${left.join(', ')} of the set ${left.length === 1 ? 'is' : 'are'} not in the site file and not stopped: it is another ${kind} of the same name from then on, so let nobody know both`,
    ].slice(0, left.length === 0 ? 1 : 2);
  });
}

export function aloneWarnings(databases: readonly PlanRestored[]): readonly string[] {
  return databases.flatMap(({ database, rejoins }) =>
    rejoins === undefined
      ? []
      : [
          `only ${rejoins.member} of ${database} is replaced, and catches up with ${rejoins.others.map(({ name }) => name).join(', ')}: they and who uses them go on, so it is not compared with the set`,
        ],
  );
}
