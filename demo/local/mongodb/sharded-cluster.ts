import { join } from 'node:path';
import { freePort } from '../ports.ts';
import { userinfo, withAdmin } from './admin.ts';
import { deploy, type DeployOptions, type Deployment, type Running } from './deployment.ts';
import { describeSet, launchSet, seedsOf, type ReplicaSet } from './replica-set.ts';
import type { Member, Server } from './server.ts';

export interface ShardedClusterOptions extends Partial<DeployOptions> {
  /** How `mongod` and `mongos` are run: the starts of their argument vectors. */
  mongod: readonly string[];
  mongos: readonly string[];
  shards?: number;
  /** Of all; or of each. */
  membersPerShard?: number | readonly number[];
  configMembers?: number;
}

export interface ShardedCluster {
  /** Of the one mongos. */
  uri: string;
  mongos: Server;
  config: ReplicaSet;
  shards: ReplicaSet[];
  /** Of all shards and of the config set. */
  members: Member[];
  untilHealthy(): Promise<void>;
}

/** Starts a sharded cluster on 127.0.0.1: shards, config servers and one mongos, all members up. */
export function startShardedCluster(options: ShardedClusterOptions): Promise<ShardedCluster & Running> {
  const { auth = false } = options;
  return deploy({ ...options, auth }, async (deployment) => {
    const cluster = await describeCluster(deployment, options);
    const { config, mongos, shards } = cluster;
    await Promise.all([
      launchSet(deployment, config, 'configsvr'),
      // It waits for its config servers.
      deployment.servers.start(mongos),
      ...shards.map((shard) => launchSet(deployment, shard, 'shardsvr')),
    ]);
    await addShards(cluster);
    await cluster.untilHealthy();
    return cluster;
  });
}

/** Gives each server its port and its folder; nothing runs yet. */
export async function describeCluster(
  deployment: Deployment,
  { mongod, mongos, shards: count = 2, membersPerShard = 3, configMembers = 3 }: ShardedClusterOptions,
): Promise<ShardedCluster> {
  const config = await describeSet(deployment, {
    mongod,
    name: 'config',
    size: configMembers,
    role: 'configsvr',
  });
  const shards = await Promise.all(
    Array.from({ length: count }, (_, index) => {
      const size = typeof membersPerShard === 'number' ? membersPerShard : (membersPerShard[index] ?? 1);
      return describeSet(deployment, { mongod, name: `shard${index + 1}`, size, role: 'shardsvr' });
    }),
  );
  const router = await describeMongos(deployment, mongos, config);
  return {
    uri: router.uri,
    mongos: router,
    config,
    shards,
    members: [...shards, config].flatMap(({ members }) => members),
    untilHealthy: async () => {
      await Promise.all([config, ...shards].map((set) => set.untilHealthy()));
    },
  };
}

async function describeMongos(
  deployment: Deployment,
  mongos: readonly string[],
  { name, members }: ReplicaSet,
): Promise<Server> {
  const port = await freePort();
  const { folder } = deployment.placeOf('mongos', 0, port);
  const pidFile = join(folder, 'mongos.pid');
  const logFile = join(folder, 'mongos.log');
  const server = {
    name: `127.0.0.1:${port}`,
    port,
    pidFile,
    logFile,
    uri: `mongodb://${userinfo(deployment.credentials)}127.0.0.1:${port}/`,
    command: [
      ...mongos,
      ...['--configdb', `${name}/${seedsOf(members)}`],
      ...['--bind_ip', '127.0.0.1', '--port', String(port), '--nounixsocket'],
      ...['--pidfilepath', pidFile, '--logpath', logFile, '--logappend'],
      ...(deployment.key ? ['--keyFile', deployment.key.file] : []),
      ...['--setParameter', 'diagnosticDataCollectionEnabled=false'],
      ...['--setParameter', 'heartBeatFrequencyMs=60000'],
    ],
  };
  deployment.announce([server]);
  return server;
}

async function addShards({ mongos, shards }: ShardedCluster): Promise<void> {
  await withAdmin(mongos.uri, async (admin) => {
    await Promise.all(
      shards.map(({ name, members }) => admin.command({ addShard: `${name}/${seedsOf(members)}` })),
    );
  });
}
