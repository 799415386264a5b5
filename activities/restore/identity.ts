import { chmod, chown, lstat, mkdir } from 'node:fs/promises';
import { posix } from 'node:path';
import { Long, ObjectId, type Document, type MongoClient } from 'mongodb';
import type { MongodbSetRecord } from '../../model/manifest.ts';
import type { Argv, HostName, Site } from '../../model/site.ts';
import { isolated } from '../drill/isolated.ts';
import { refuse } from '../ledger/refusals.ts';
import { engineOf } from '../mongodb/engine.ts';
import { longestSocketBytes, maintainScratch } from '../mongodb/open-copy.ts';
import { optimeOf, optimeText, reached } from '../mongodb/optime.ts';
import type { RestorePlace } from './place.ts';
import { unpackedRoot } from './staging.ts';

/** A server that opens large data takes its time. */
const openWithinMs = 10 * 60_000;

/** Of the site file: of the database, or that of drills. */
export function mongodOf(site: Site, database: string): Argv | undefined {
  return engineOf(site, database).mongod ?? site.drill?.mongod;
}

interface Copy {
  readonly database: string;
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
  const mongod = mongodOf(site, database);
  if (mongod === undefined)
    throw refuse(
      'UnknownName',
      `the site file of ${host} names no mongod to open the copy of ${database} with`,
    );
  const members = Object.keys(engineOf(site, database).members);
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
    (client) => settleConfig(client, record, newSet === undefined ? null : { newSet, members }),
  );
}

async function settleConfig(
  client: MongoClient,
  { set, artifact, marker }: MongodbSetRecord,
  wanted: { readonly newSet: string; readonly members: readonly string[] } | null,
): Promise<void> {
  const local = client.db('local');
  const last = await local.collection('oplog.rs').find().sort({ $natural: -1 }).limit(1).next();
  const end = last && optimeOf(last);
  if (end === null || (marker !== null && !reached(end, marker)))
    throw refuse('SetDamaged', `${artifact} ends at ${optimeText(end)}, before the point of its set`);
  const configs = local.collection<Document & { _id: string }>('system.replset');
  const config = await configs.findOne({ _id: set });
  if (config === null) throw refuse('SetDamaged', `${artifact} holds no configuration of replica set ${set}`);
  if (wanted !== null)
    await configs.replaceOne({ _id: set }, newConfig(config, marker?.term ?? end.term, wanted));
  else if (Number(config['term'] ?? -1) > end.term)
    await configs.updateOne({ _id: set }, { $set: { term: Long.fromNumber(end.term) } });
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
  { _id, protocolVersion, settings }: Document,
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
