import { chmod, chown, lstat, mkdir } from 'node:fs/promises';
import { posix } from 'node:path';
import { Long, ObjectId, type Document, type MongoClient } from 'mongodb';
import type { Optime } from '../../model/ledger.ts';
import type { MongodbRecord, MongodbSetRecord } from '../../model/manifest.ts';
import { connectionOf, differentShards, membersOfSet, setOf, shardsAt } from '../../model/shards.ts';
import type { HostName, MongodbEngine, Site } from '../../model/site.ts';
import { isolated } from '../drill/isolated.ts';
import { mongodOf } from '../drill/opener.ts';
import { refuse } from '../ledger/refusals.ts';
import { engineOf } from '../mongodb/engine.ts';
import { longestSocketBytes, maintainScratch } from '../mongodb/open-copy.ts';
import { optimeOf, optimeText, reached } from '../mongodb/optime.ts';
import { toPlain } from '../mongodb/plain.ts';
import type { RestorePlace } from './place.ts';
import { unpackedRoot } from './staging.ts';

/** A server that opens large data takes its time. */
const openWithinMs = 10 * 60_000;

interface Copy {
  readonly database: MongodbRecord;
  readonly record: MongodbSetRecord;
  readonly place: RestorePlace;
  readonly root: string;
  /** The identity that its replica set gets, with the members of the site file. */
  readonly newSet?: string;
}

/** More cannot vote: https://www.mongodb.com/docs/manual/reference/limits/ */
const mostVoters = 7;

/**
 * Opens the copy of a member alone, where it reaches nobody, and puts its replica set configuration right. A primary that
 * is stopped may still have been told of the next election, whose term its configuration then has, while its oplog ends in
 * the term before. Where all members start with that, the first one elected takes a term that is not later than its
 * configuration's, and ends with a fatal assertion (ReplicationCoordinatorImpl::signalDrainComplete of mongod 6.0).
 * Also proves that the copy opens, and that its oplog reaches the point of the set.
 */
export async function settleIdentity(
  site: Site,
  host: HostName,
  { database, record, place, root, newSet }: Copy,
  hooks: { readonly signal: AbortSignal; readonly onProcess: (pid: number) => void },
): Promise<void> {
  const { database: name } = database;
  const mongod = mongodOf(site, name);
  if (mongod === undefined)
    throw refuse('UnknownName', `the site file of ${host} names no mongod to open the copy of ${name} with`);
  const { members } = engineOf(site, name);
  const data = unpackedRoot(place, root);
  const { uid, gid } = await lstat(data);
  await letThrough(place, root);
  const own = posix.join(place.staging, 'mongod');
  await mkdir(own, { mode: 0o700 });
  if (process.getuid?.() === 0) await chown(own, uid, gid);
  const socket = posix.join(own, 'm.sock');
  if (Buffer.byteLength(socket) > longestSocketBytes)
    throw refuse(
      'NotUnderstood',
      `${socket} is too long for the name of a socket (${longestSocketBytes} bytes): a server cannot be opened beside ${place.roots[0]?.path ?? ''}`,
    );
  await maintainScratch(
    {
      ...{ scratchDir: data, listen: { socket }, log: posix.join(own, 'log'), withinMs: openWithinMs },
      ...{ command: isolated(mongod, { uid, gid }), ...hooks },
    },
    async (client) => {
      await assertReaches(client, record);
      if (newSet === undefined) return settleTerm(client, record);
      const { topology, shards, sets } = database;
      const own = topology === 'sharded' ? membersOfSet(members, record.set) : Object.keys(members);
      await becomeAnother(client, record, { newSet, members: own });
      if (record.role === 'config') await moveShards(client, record, shards ?? [], members);
      if (record.role === 'shard') await moveConfigServers(client, record, sets, members);
    },
  );
}

type WithName = Document & { _id: string };

async function assertReaches(client: MongoClient, { artifact, marker }: MongodbSetRecord): Promise<void> {
  const end = await endOf(client);
  if (end === null || (marker !== null && !reached(end, marker)))
    throw refuse('SetDamaged', `${artifact} ends at ${optimeText(end)}, before the point of its set`);
}

async function settleTerm(client: MongoClient, record: MongodbSetRecord): Promise<void> {
  const { configs, config } = await configOf(client, record);
  const { term } = (await endOf(client)) ?? { term: 0 };
  if (Number(config['term'] ?? -1) > term)
    await configs.updateOne({ _id: record.set }, { $set: { term: Long.fromNumber(term) } });
}

async function becomeAnother(
  client: MongoClient,
  record: MongodbSetRecord,
  wanted: { readonly newSet: string; readonly members: readonly string[] },
): Promise<void> {
  const { configs, config } = await configOf(client, record);
  const { term } = record.marker ?? (await endOf(client)) ?? { term: 0 };
  await configs.replaceOne({ _id: record.set }, newConfig(config, term, wanted));
}

async function endOf(client: MongoClient): Promise<Optime | null> {
  const oplog = client.db('local').collection('oplog.rs');
  const last = await oplog.find().sort({ $natural: -1 }).limit(1).next();
  return last && optimeOf(last);
}

async function configOf(client: MongoClient, { set, artifact }: MongodbSetRecord) {
  const configs = client.db('local').collection<WithName>('system.replset');
  const config = await configs.findOne({ _id: set });
  if (config === null) throw refuse('SetDamaged', `${artifact} holds no configuration of replica set ${set}`);
  return { configs, config };
}

/**
 * The config servers say where the shards are. What the copy holds is what its last checkpoint holds: where that is what
 * the night saw, the rest of the oplog, replayed when it starts as a member, has no other word on it.
 *
 * https://www.mongodb.com/docs/manual/tutorial/restore-sharded-cluster/
 */
async function moveShards(
  client: MongoClient,
  { artifact }: MongodbSetRecord,
  before: readonly Readonly<Record<string, unknown>>[],
  members: MongodbEngine['members'],
): Promise<void> {
  const shards = client.db('config').collection<WithName>('shards');
  const found = await shards.find().toArray();
  const [problem] = differentShards(before, found.map(toPlain));
  if (problem !== undefined)
    throw refuse('SetDamaged', `${artifact} has other shards than the night saw: ${problem}`);
  for (const { _id, host } of shardsAt(members, before))
    await shards.updateOne({ _id: String(_id) }, { $set: { host } });
}

/** A shard knows its config servers. */
async function moveConfigServers(
  client: MongoClient,
  { artifact, shardIdentity }: MongodbSetRecord,
  sets: readonly MongodbSetRecord[],
  members: MongodbEngine['members'],
): Promise<void> {
  const versions = client.db('admin').collection<WithName>('system.version');
  const _id = 'shardIdentity';
  const found = await versions.findOne({ _id });
  const [before, now] = [shardIdentity, found].map((one) => String(one?.['configsvrConnectionString']));
  const config = sets.find(({ role }) => role === 'config')?.set ?? setOf({ host: before });
  if (found === null || before !== now)
    throw refuse(
      'SetDamaged',
      `${artifact} has other config servers than the night saw: ${now}, not ${before}`,
    );
  await versions.updateOne({ _id }, { $set: { configsvrConnectionString: connectionOf(members, config) } });
}

/**
 * The first configuration of a set of other members, as it is written by hand where a set is restored to new hosts. Word for
 * word the same on each of them, as they take one of the same version and term for the same: so nothing is taken over that
 * may differ from copy to copy. An identity of its own keeps it apart from members of the old set, which may still run
 * and know some of its names.
 *
 * https://www.mongodb.com/docs/ops-manager/current/tutorial/restore-replica-set/
 */
function newConfig(
  { _id, protocolVersion, settings, configsvr }: Document,
  term: number,
  { newSet, members }: { readonly newSet: string; readonly members: readonly string[] },
): Document {
  const { electionTimeoutMillis, heartbeatTimeoutSecs, chainingAllowed } = (settings ?? {}) as Readonly<
    Record<string, unknown>
  >;
  const kept = { electionTimeoutMillis, heartbeatTimeoutSecs, chainingAllowed };
  return {
    ...{
      _id: _id as unknown,
      version: 1,
      term: Long.fromNumber(term),
      protocolVersion: protocolVersion as unknown,
    },
    ...(configsvr === true && { configsvr: true }),
    writeConcernMajorityJournalDefault: true,
    members: members.map((host, index) => ({
      ...{ _id: index, host },
      ...(index >= mostVoters && { votes: 0, priority: 0 }),
    })),
    settings: {
      ...Object.fromEntries(Object.entries(kept).filter(([, value]) => value !== undefined)),
      replicaSetId: ObjectId.createFromHexString(newSet),
    },
  };
}

/** The server runs as the owner of the data, who must come by; what lies there is guarded as it is in its own place. */
async function letThrough({ staging }: RestorePlace, root: string): Promise<void> {
  const names = ['tree', ...root.split('/').slice(0, -1)];
  for (let depth = 0; depth <= names.length; depth++)
    await chmod(posix.join(staging, ...names.slice(0, depth)), 0o711);
}
