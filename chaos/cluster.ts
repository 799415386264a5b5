import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BSON, MongoClient, type Db, type Document } from 'mongodb';
import { locate } from '#components';
import { createUnitServers } from '../demo/cluster.ts';
import type { Cleanup } from '../demo/local/cleanup.ts';
import { startShardedCluster } from '../demo/local/mongodb/sharded-cluster.ts';
import { waitFor } from '../demo/local/wait.ts';
import type { ChaosMongodb, MemberService } from './mongodb.ts';
import { databaseHost, placeOf } from './site.ts';

/** Of the sets of one member each. */
const serviceOf: Readonly<Record<string, MemberService>> = {
  shard1: 'mongod-1',
  shard2: 'mongod-2',
  config: 'mongod-3',
};
const documents = 200;
const namespace = 'vitam.docs';
const hangsAt = 'moveChunkHangAtStep4';

/** Two shards and their config servers, one member each. */
export async function startCluster(cleanup: Cleanup, folder: string, alive: string): Promise<ChaosMongodb> {
  const [mongod, mongos] = [locate('mongod')?.command, locate('mongos')?.command];
  if (mongod === undefined || mongos === undefined)
    throw new Error('no mongod and mongos of 7.0. What to do: npm run setup');
  const cluster = await startShardedCluster({
    mongod: [...mongod, '--setParameter', 'enableTestCommands=1'],
    mongos,
    ...{ shards: 2, membersPerShard: 1, configMembers: 1, servers: createUnitServers(alive) },
    parameters: ['shutdownTimeoutMillisForSignaledShutdown=500'],
    placeOf: (set) => {
      const place = placeOf(folder, serviceOf[set] ?? set);
      const dataDir = join(folder, 'data', serviceOf[set] ?? set);
      for (const made of [place, dataDir]) mkdirSync(made, { recursive: true });
      return { folder: place, dataDir };
    },
  });
  cleanup.add(() => cluster.stop());
  const clientOf = (uri: string) => {
    const client = new MongoClient(uri, { serverSelectionTimeoutMS: 2_000 });
    cleanup.add(() => client.close());
    return client;
  };
  const router = clientOf(cluster.uri);
  const admin = router.db('admin');
  const members = cluster.members.map(({ uri }) => clientOf(uri).db('admin'));
  await admin.command({ shardCollection: namespace, key: { _id: 'hashed' } });
  const all = Array.from({ length: documents }, (_, _id) => ({ _id: _id as never, text: 'x'.repeat(50) }));
  await router.db('vitam').collection('docs').insertMany(all, { ordered: false });
  const found = await settingsOf(router);
  const uri = (port: number) => {
    const file = join(folder, `${port}.uri`);
    writeFileSync(file, `mongodb://127.0.0.1:${port}/\n`, { mode: 0o600 });
    return `{ file: ${file} }`;
  };

  return {
    database: 'vitam-mongo',
    services: cluster.members.map(({ set }) => serviceOf[set] ?? 'mongod-0'),
    inSiteFile: `    mongodb:
      mongos: { host: ${databaseHost}, uri: ${uri(cluster.mongos.port)} }
      allow: [set-down]
      members:
${cluster.members.map(({ name, set, port, dataDir }) => `        "${name}": { host: ${databaseHost}, service: ${serviceOf[set] ?? ''}, data: ${dataDir}, uri: ${uri(port)} }`).join('\n')}`,
    trouble: async () => {
      try {
        const states = await Promise.all(members.map((member) => member.command({ hello: 1 })));
        if (!states.every((state) => state['isWritablePrimary'] === true)) return 'a shard has no primary';
        const now = await settingsOf(router);
        return now === found ? null : `the settings of the balancer are ${now}, and were ${found}`;
      } catch (error) {
        return `the cluster does not answer: ${error instanceof Error ? error.message : String(error)}`;
      }
    },
    set: null,
    balancer: {
      hang: async () => {
        await failPoint(members, 'alwaysOn');
        // All of it belongs to where half of it is not.
        await admin.command({ addShardToZone: 'shard2', zone: 'all' });
        await zone(admin, 'all');
        await waitFor(
          async () => (await statusOf(admin))['inBalancerRound'] === true && (await isMoving(router)),
          {
            what: 'the balancer to move a chunk',
            withinMs: 60_000,
          },
        );
      },
      isAskedInVain: async () => {
        const { mode, inBalancerRound } = await statusOf(admin);
        return mode === 'off' && inBalancerRound === true;
      },
      goOn: async () => {
        await zone(admin, null);
        await failPoint(members, 'off');
        await waitFor(async () => !(await isMoving(router)), { what: 'no migration', withinMs: 90_000 });
        await admin.command({ removeShardFromZone: 'shard2', zone: 'all' });
      },
    },
  };
}

async function failPoint(members: readonly Db[], mode: 'alwaysOn' | 'off'): Promise<void> {
  for (const member of members) await member.command({ configureFailPoint: hangsAt, mode });
}

async function zone(admin: Db, name: string | null): Promise<void> {
  const [min, max] = [{ _id: new BSON.MinKey() }, { _id: new BSON.MaxKey() }];
  await admin.command({ updateZoneKeyRange: namespace, min, max, zone: name });
}

function statusOf(admin: Db): Promise<Document> {
  return admin.command({ balancerStatus: 1 });
}

async function isMoving(router: MongoClient): Promise<boolean> {
  const operations = await router
    .db('admin')
    .aggregate([{ $currentOp: { allUsers: true, localOps: false } }])
    .toArray();
  return operations.some(
    (one) =>
      /migrateThread|MigrationCoordinator|MoveChunk/i.test(String(one['desc'])) ||
      'moveRange' in ((one['command'] as object | undefined) ?? {}) ||
      '_shardsvrMoveRange' in ((one['command'] as object | undefined) ?? {}),
  );
}

/** As bytes: types count too. */
async function settingsOf(router: MongoClient): Promise<string> {
  const found = await router
    .db('config')
    .collection('settings')
    .find(
      { _id: { $in: ['balancer', 'automerge', 'autosplit'] as never[] } },
      { promoteValues: false, sort: { _id: 1 } },
    )
    .toArray();
  return BSON.EJSON.stringify(found);
}
