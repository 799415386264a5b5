import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MongoClient, type Db, type Document } from 'mongodb';
import { optimeOf } from '../../activities/mongodb/optime.ts';
import { DEFAULT_LIMITS } from '../../config/schema/limits.ts';
import type { Optime } from '../../model/ledger.ts';
import type { MongodbMember, Site } from '../../model/site.ts';
import type { Member, ReplicaSet, Running, Server } from '../support/mongodb.ts';
import { commandOf } from '../support/programs.ts';
import * as replicaSet from '../../demo/local/mongodb/replica-set.ts';
import * as shardedCluster from '../../demo/local/mongodb/sharded-cluster.ts';

export const database = 'vitam-mongo';
export const host = 'here';
/** A password that would show in any message that carries it. */
export const backup = { user: 'coldbackup', password: 'p%ss/w@rd-of-coldbackup' };

/** With failpoints. A member that is told to stop waits 15 s for its clients by default. */
const testParameters = ['enableTestCommands=1', 'shutdownTimeoutMillisForSignaledShutdown=500'].flatMap(
  (parameter) => ['--setParameter', parameter],
);
export const nativeMongod = commandOf('mongod-native');
export const mongod7 = commandOf('mongod');

export function startTestSet(
  options: Omit<replicaSet.ReplicaSetOptions, 'mongod'> = {},
): Promise<ReplicaSet & Running> {
  return replicaSet.startReplicaSet({ auth: true, ...options, mongod: [...nativeMongod, ...testParameters] });
}

export function startTestCluster(
  options: Pick<
    shardedCluster.ShardedClusterOptions,
    'shards' | 'membersPerShard' | 'configMembers' | 'servers'
  >,
): Promise<shardedCluster.ShardedCluster & Running> {
  return shardedCluster.startShardedCluster({
    auth: true,
    ...options,
    mongod: [...mongod7, ...testParameters],
    mongos: commandOf('mongos'),
  });
}

/** A site file's content for these servers, all on one host, with the secrets in files. */
export async function siteOf(
  folder: string,
  {
    members,
    mongos,
    allow = [],
    login = backup,
  }: {
    readonly members: readonly Member[];
    readonly mongos?: Server;
    readonly allow?: readonly 'set-down'[];
    readonly login?: { readonly user: string; readonly password: string } | null;
  },
): Promise<Site> {
  const uri = async (server: Server) => {
    const file = join(folder, `${server.port}.uri`);
    await writeFile(file, `${uriOf(server, login)}\n`, { mode: 0o600 });
    return { file };
  };
  const entries = await Promise.all(
    members.map(async (member): Promise<[string, MongodbMember]> => [
      member.name,
      { host, service: `mongod-${member.port}`, data: member.dataDir, uri: await uri(member) },
    ]),
  );
  return {
    site: 'test',
    timezone: 'Europe/Paris',
    hosts: [host],
    services: {},
    jobs: {},
    counts: {},
    databases: {
      [database]: {
        usedBy: [],
        engine: {
          kind: 'mongodb',
          ...(mongos ? { mongos: { host, uri: await uri(mongos) } } : {}),
          members: Object.fromEntries(entries),
          allow,
        },
      },
    },
    stores: {},
    procedures: {},
    limits: DEFAULT_LIMITS,
  };
}

export function uriOf(
  server: Server,
  login: { readonly user: string; readonly password: string } | null,
): string {
  const userinfo = login ? `${encodeURIComponent(login.user)}:${encodeURIComponent(login.password)}@` : '';
  return `mongodb://${userinfo}127.0.0.1:${server.port}/${login ? '?authSource=admin' : ''}`;
}

/** Makes the roles of docs/mongodb.md, as they stand there, and the user. */
export async function createBackupUser(
  uri: string,
  roles: readonly string[],
  { members }: { readonly members: number },
): Promise<void> {
  const page = await readFile(fileURLToPath(new URL('../../docs/mongodb.md', import.meta.url)), 'utf8');
  const blocks = [...page.matchAll(/```json\n([\s\S]*?)```/g)].map(
    ([, json]) => JSON.parse(json ?? '') as Document,
  );
  await as(uri, async (admin) => {
    for (const block of blocks.filter((b) => roles.includes(String(b['createRole']))))
      await admin.command(block);
    await admin.command({
      createUser: backup.user,
      pwd: backup.password,
      roles,
      writeConcern: { w: members, wtimeout: 60_000 },
    });
  });
}

/** As the superuser, on the `admin` database; the client is closed in the end. */
export async function as<T>(uri: string, work: (admin: Db, client: MongoClient) => Promise<T>): Promise<T> {
  const client = await MongoClient.connect(uri, { serverSelectionTimeoutMS: 20_000 });
  try {
    return await work(client.db('admin'), client);
  } finally {
    await client.close();
  }
}

export async function failPoint(member: Server, name: string, mode: 'alwaysOn' | 'off'): Promise<void> {
  await as(member.uri, (admin) => admin.command({ configureFailPoint: name, mode }));
}

/**
 * Documents that all members have, then more that its primary alone has: in its oplog, and not in its stable checkpoint.
 * The secondaries lag from then on.
 */
export async function runAhead(
  set: ReplicaSet,
  {
    collection: { database: db, name },
    early,
    late,
  }: {
    readonly collection: { readonly database: string; readonly name: string };
    readonly early: number;
    readonly late: number;
  },
): Promise<{ primary: Member; others: readonly Member[]; marker: Optime }> {
  const primary = await set.primary();
  const others = set.members.filter((member) => member.name !== primary.name);
  const insert = (count: number, w: number) =>
    as(primary.uri, (_, client) => {
      const documents = Array.from({ length: count }, (__, n) => ({ n, text: 'x'.repeat(100) }));
      return client.db(db).collection(name).insertMany(documents, { writeConcern: { w } });
    });
  await insert(early, set.members.length);
  for (const lagging of others) await failPoint(lagging, 'stopReplProducer', 'alwaysOn');
  await insert(late, 1);
  return { primary, others, marker: await noteIn(primary, 1) };
}

/** Writes a note into the oplog of a primary, and says where. */
export async function noteIn(primary: Member, w: number | 'majority'): Promise<Optime> {
  return as(primary.uri, async (admin, client) => {
    await admin.command({ appendOplogNote: 1, data: { note: 'the point' }, writeConcern: { w } });
    const oplog = client.db('local').collection('oplog.rs');
    const entry = await oplog.find({ 'o.note': 'the point' }).sort({ $natural: -1 }).limit(1).next();
    const at = entry && optimeOf(entry);
    if (!at) throw new Error(`${primary.name} has no note`);
    return at;
  });
}

/** Changes one thing of the set's configuration. */
export async function reconfigure(set: ReplicaSet, change: (config: Document) => void): Promise<void> {
  const primary = await set.primary();
  await as(primary.uri, async (admin) => {
    const config = (await admin.command({ replSetGetConfig: 1 }))['config'] as Document;
    change(config);
    config['version'] = Number(config['version']) + 1;
    await admin.command({ replSetReconfig: config });
  });
}

/** The message of a failure, and that no retry cures it. */
export async function failureOf(work: Promise<unknown>): Promise<{ message: string; nonRetryable: boolean }> {
  try {
    await work;
  } catch (error) {
    const failure = error as Error & { nonRetryable?: boolean };
    return { message: failure.message, nonRetryable: failure.nonRetryable === true };
  }
  throw new Error('it did not fail');
}
