import { chmod, chown, lstat, mkdir } from 'node:fs/promises';
import { posix } from 'node:path';
import { Long, type Document, type MongoClient } from 'mongodb';
import type { MongodbSetRecord } from '../../model/manifest.ts';
import type { Argv, HostName, Site } from '../../model/site.ts';
import { isolated } from '../drill/isolated.ts';
import { refuse } from '../ledger/refusals.ts';
import { engineOf } from '../mongodb/engine.ts';
import { maintainScratch } from '../mongodb/open-copy.ts';
import { optimeOf, optimeText, reached } from '../mongodb/optime.ts';
import type { RestorePlace } from './place.ts';
import { unpackedRoot } from './staging.ts';

/** A server that opens large data takes its time. */
const openWithinMs = 10 * 60_000;
/** sun_path of unix(7) holds 107 bytes. */
const longestSocket = 107;

/** Of the site file: of the database, or that of drills. */
export function mongodOf(site: Site, database: string): Argv | undefined {
  return engineOf(site, database).mongod ?? site.drill?.mongod;
}

interface Copy {
  readonly database: string;
  readonly record: MongodbSetRecord;
  readonly place: RestorePlace;
  readonly root: string;
}

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
  { database, record, place, root }: Copy,
  hooks: { readonly signal: AbortSignal; readonly onProcess: (pid: number) => void },
): Promise<void> {
  const mongod = mongodOf(site, database);
  if (mongod === undefined)
    throw refuse(
      'UnknownName',
      `the site file of ${host} names no mongod to open the copy of ${database} with`,
    );
  const data = unpackedRoot(place, root);
  const { uid, gid } = await lstat(data);
  await letThrough(place, root);
  const own = posix.join(place.staging, 'mongod');
  await mkdir(own, { mode: 0o700 });
  if (process.getuid?.() === 0) await chown(own, uid, gid);
  const socket = posix.join(own, 'm.sock');
  if (Buffer.byteLength(socket) > longestSocket)
    throw refuse(
      'NotUnderstood',
      `${socket} is too long for the name of a socket (${longestSocket} bytes): a server cannot be opened beside ${place.roots[0]?.path ?? ''}`,
    );
  await maintainScratch(
    {
      ...{ scratchDir: data, listen: { socket }, log: posix.join(own, 'log'), withinMs: openWithinMs },
      ...{ command: isolated(mongod, { uid, gid }), ...hooks },
    },
    (client) => settleTerm(client, record),
  );
}

async function settleTerm(client: MongoClient, { set, artifact, marker }: MongodbSetRecord): Promise<void> {
  const local = client.db('local');
  const last = await local.collection('oplog.rs').find().sort({ $natural: -1 }).limit(1).next();
  const end = last && optimeOf(last);
  if (end === null || (marker !== null && !reached(end, marker)))
    throw refuse('SetDamaged', `${artifact} ends at ${optimeText(end)}, before the point of its set`);
  const configs = local.collection<Document & { _id: string }>('system.replset');
  const config = await configs.findOne({ _id: set });
  if (config === null) throw refuse('SetDamaged', `${artifact} holds no configuration of replica set ${set}`);
  if (Number(config['term'] ?? -1) > end.term)
    await configs.updateOne({ _id: set }, { $set: { term: Long.fromNumber(end.term) } });
}

/** The server runs as the owner of the data, who must come by; what lies there is guarded as it is in its own place. */
async function letThrough({ staging }: RestorePlace, root: string): Promise<void> {
  const names = ['tree', ...root.split('/').slice(0, -1)];
  for (let depth = 0; depth <= names.length; depth++)
    await chmod(posix.join(staging, ...names.slice(0, depth)), 0o711);
}
