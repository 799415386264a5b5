import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import type { MongodbEngine, Site } from '../model/site.ts';
import type { Running } from './local/mongodb/deployment.ts';
import { acceptsConnections, type Member, type Servers } from './local/mongodb/server.ts';
import { startReplicaSet, type ReplicaSet } from './local/mongodb/replica-set.ts';
import { startShardedCluster, type ShardedCluster } from './local/mongodb/sharded-cluster.ts';
import { endOf } from './local/processes.ts';
import { waitFor } from './local/wait.ts';
import type { Places } from './places.ts';
import { program } from './programs.ts';
import {
  defineUnit,
  exitStatusOf,
  isRunning,
  killUnit,
  logOf,
  startUnit,
  stopUnit,
  type Unit,
} from './services/supervised.ts';

/** The sharded cluster of the example, and the offer's replica set; members lie where the example's site file has them. */
export interface DemoCluster extends ShardedCluster, Running {
  readonly offer: ReplicaSet;
  /** By the member's name in the example: `mongo-1:27018`. */
  readonly memberOf: ReadonlyMap<string, Member>;
}

/**
 * A primary that is asked to end first hands over to another, and then stays for the rest of this time (15 s by
 * default) so that clients find that one. A second does here: the handing over takes less, the writers are all stopped
 * by then, and what is copied is decided by the marker, not by the time to say goodbye.
 */
const shutdownMs = 1_000;

/** Servers that start take all of a small machine, in an emulator for long: Temporal and the agents come first. */
const politely = ['nice', '-n', '5'];

const setNames = ['shard1', 'shard2', 'config'];

/** Starts the servers of the example under servicectl, each as the service that the example names. */
export async function startCluster(places: Places, site: Site): Promise<DemoCluster> {
  const [cluster, offer] = await Promise.all([startSharded(places, site), startOffer(places, site)]);
  const [name = ''] = Object.keys(mongodbOf(site, 'offer-mongo').members);
  const [member] = offer.members;
  return {
    ...cluster,
    offer,
    memberOf: new Map([...cluster.memberOf, ...(member === undefined ? [] : [[name, member] as const])]),
  };
}

/** The offer's is of a release that needs no emulator. */
export function mongodOf(name: string): 'mongod' | 'mongod-native' {
  return name === 'offer-mongo' ? 'mongod-native' : 'mongod';
}

function startOffer(places: Places, site: Site): Promise<ReplicaSet> {
  const [member] = Object.values(mongodbOf(site, 'offer-mongo').members);
  if (member === undefined) throw new Error('the example’s offer has no member');
  const { host, service, data } = member;
  return startReplicaSet({
    ...{ mongod: program('mongod-native'), name: 'offer', members: 1, auth: true },
    servers: createUnitServers(places.aliveLock),
    parameters: [`shutdownTimeoutMillisForSignaledShutdown=${shutdownMs}`],
    placeOf: () => made(places.unit(host, service), places.onHost(host, data)),
  });
}

async function startSharded(places: Places, site: Site): Promise<Omit<DemoCluster, 'offer'>> {
  const members = Object.entries(mongodbOf(site).members);
  const inSet = (set: string) => members.filter(([, { data }]) => setOf(data) === set);
  const cluster = await startShardedCluster({
    mongod: [...politely, ...program('mongod')],
    mongos: [...politely, ...program('mongos')],
    servers: createUnitServers(places.aliveLock),
    parameters: [`shutdownTimeoutMillisForSignaledShutdown=${shutdownMs}`],
    auth: true,
    placeOf: (set, index) => {
      const member = inSet(set)[index]?.[1];
      if (member === undefined) return made(places.unit(mongosHost(site), 'mongos'));
      return made(places.unit(member.host, member.service), places.onHost(member.host, member.data));
    },
  });
  const sets = [...cluster.shards, cluster.config];
  const memberOf = new Map(
    sets.flatMap(({ members: real }, at) =>
      inSet(setNames[at] ?? '').flatMap(([name], index): [string, Member][] => {
        const member = real[index];
        return member === undefined ? [] : [[name, member]];
      }),
    ),
  );
  return { ...cluster, memberOf };
}

export function mongodbOf(site: Site, name = 'vitam-mongo'): MongodbEngine {
  const engine = site.databases[name]?.engine;
  if (engine?.kind !== 'mongodb') throw new Error(`the example has no MongoDB named ${name}`);
  return engine;
}

/** `/vitam/data/mongod/shard1` holds a member of shard1, `/vitam/data/mongoc` one of the config servers. */
function setOf(data: string): string {
  return setNames.find((set) => data.endsWith(`/${set}`)) ?? 'config';
}

function mongosHost(site: Site): string {
  return mongodbOf(site).mongos?.host ?? '';
}

function made(folder: string, dataDir = folder): { folder: string; dataDir: string } {
  mkdirSync(folder, { recursive: true });
  mkdirSync(dataDir, { recursive: true });
  return { folder, dataDir };
}

/** Runs mongod and mongos under servicectl, where agents stop and start them too. */
export function createUnitServers(aliveLock: string): Servers {
  const unitOf = ({ pidFile, command }: { pidFile: string; command: readonly string[] }): Unit =>
    defineUnit(dirname(pidFile), command, aliveLock);
  return {
    start: async (server) => {
      const unit = unitOf(server);
      await startUnit(unit);
      await waitFor(() => acceptsConnections(server.port), {
        what: `${server.name} to accept connections`,
        withinMs: 120_000,
        unless: () => (isRunning(unit) ? undefined : `${logOf(unit)}\n${endOf(server.logFile)}`),
      });
    },
    stop: async (server, { withinMs } = {}) => {
      const unit = unitOf(server);
      await stopUnit(unit, withinMs === undefined ? {} : { withinMs });
      return { code: exitStatusOf(unit), signal: null };
    },
    exitOf: (server) => {
      const code = exitStatusOf(unitOf(server));
      return code === null ? undefined : { code, signal: null };
    },
    killAll: async (servers) => {
      await Promise.all(servers.map((server) => killUnit(unitOf(server))));
    },
  };
}
