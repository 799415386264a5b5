import type { Running } from '../../demo/local/mongodb/deployment.ts';
import * as replicaSet from '../../demo/local/mongodb/replica-set.ts';
import * as shardedCluster from '../../demo/local/mongodb/sharded-cluster.ts';
import { commandOf } from './programs.ts';

export type { Running } from '../../demo/local/mongodb/deployment.ts';
export type { ReplicaSet } from '../../demo/local/mongodb/replica-set.ts';
export type { ShardedCluster } from '../../demo/local/mongodb/sharded-cluster.ts';
export type { Member, Server } from '../../demo/local/mongodb/server.ts';

export interface ReplicaSetOptions extends Omit<replicaSet.ReplicaSetOptions, 'mongod'> {
  /** native: quick, MongoDB 6; v7: slow, the version of the sharded clusters. */
  binary?: 'native' | 'v7';
}

/** A real replica set with the binaries of the set-up. See `startReplicaSet` of demo/local/mongodb/replica-set.ts. */
export function startReplicaSet({ binary = 'native', ...options }: ReplicaSetOptions = {}): Promise<
  replicaSet.ReplicaSet & Running
> {
  const mongod = commandOf(binary === 'native' ? 'mongod-native' : 'mongod');
  return replicaSet.startReplicaSet({ ...options, mongod });
}

/** A real sharded cluster with the binaries of the set-up. See demo/local/mongodb/sharded-cluster.ts. */
export function startShardedCluster(
  options: Omit<shardedCluster.ShardedClusterOptions, 'mongod' | 'mongos'> = {},
): Promise<shardedCluster.ShardedCluster & Running> {
  return shardedCluster.startShardedCluster({
    ...options,
    mongod: commandOf('mongod'),
    mongos: commandOf('mongos'),
  });
}
