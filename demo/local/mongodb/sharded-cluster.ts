import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '../ports.ts';
import { userinfo, withAdmin } from './admin.ts';
import { deploy, type Deployment, type Running } from './deployment.ts';
import { launchSet, type ReplicaSet } from './replica-set.ts';
import type { Member, Server } from './server.ts';

export interface ShardedClusterOptions {
  /** How `mongod` and `mongos` are run: the starts of their argument vectors. */
  mongod: readonly string[];
  mongos: readonly string[];
  shards?: number;
  membersPerShard?: number;
  configMembers?: number;
  auth?: boolean;
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
  const { mongod, shards: shardCount = 2, membersPerShard = 3, configMembers = 3, auth = false } = options;
  return deploy({ auth }, async (deployment) => {
    const shardNames = Array.from({ length: shardCount }, (_, index) => `shard${index + 1}`);
    const [{ config, mongos }, ...shards] = await Promise.all([
      launchConfig(deployment, options.mongos, { mongod, size: configMembers }),
      ...shardNames.map((name) =>
        launchSet(deployment, { mongod, name, size: membersPerShard, role: 'shardsvr' }),
      ),
    ]);
    await addShards(mongos, shards);
    const untilHealthy = async () => {
      await Promise.all([config, ...shards].map((set) => set.untilHealthy()));
    };
    await untilHealthy();
    return {
      uri: mongos.uri,
      mongos,
      config,
      shards,
      members: [...shards, config].flatMap(({ members }) => members),
      untilHealthy,
    };
  });
}

async function launchConfig(
  deployment: Deployment,
  mongosCommand: readonly string[],
  options: { mongod: readonly string[]; size: number },
): Promise<{ config: ReplicaSet; mongos: Server }> {
  const config = await launchSet(deployment, { ...options, name: 'config', role: 'configsvr' });
  const mongos = await describeMongos(deployment, mongosCommand, config);
  deployment.announce([mongos]);
  await deployment.servers.start(mongos);
  return { config, mongos };
}

async function describeMongos(
  deployment: Deployment,
  mongos: readonly string[],
  { name, members }: ReplicaSet,
): Promise<Server> {
  const port = await freePort();
  const folder = join(deployment.folder, `mongos-${port}`);
  await mkdir(folder);
  const pidFile = join(folder, 'mongos.pid');
  const logFile = join(folder, 'mongos.log');
  return {
    name: `127.0.0.1:${port}`,
    port,
    pidFile,
    logFile,
    uri: `mongodb://${userinfo(deployment.credentials)}127.0.0.1:${port}/`,
    command: [
      ...mongos,
      ...['--configdb', `${name}/${members.map((member) => member.name).join(',')}`],
      ...['--bind_ip', '127.0.0.1', '--port', String(port), '--nounixsocket'],
      ...['--pidfilepath', pidFile, '--logpath', logFile, '--logappend'],
      ...(deployment.key ? ['--keyFile', deployment.key.file] : []),
    ],
  };
}

async function addShards(mongos: Server, shards: readonly ReplicaSet[]): Promise<void> {
  await withAdmin(mongos.uri, async (admin) => {
    for (const { name, members } of shards)
      await admin.command({ addShard: `${name}/${members.map((member) => member.name).join(',')}` });
  });
}
