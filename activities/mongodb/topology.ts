import { ObjectId, type Document, type MongoClient } from 'mongodb';
import type { MongodbTopology } from '../../model/activities.ts';
import type { HostName, Site } from '../../model/site.ts';
import { readBalancerSettings } from './balancer.ts';
import { withMember, withMongos, type AskOptions } from './connect.ts';
import { engineOf, membersOn, nearest } from './engine.ts';
import { refusal } from './errors.ts';
import { toPlain } from './plain.ts';

type SetOf = MongodbTopology['sets'][number];

/**
 * What the cluster says it is made of, compared with the site file: a member that one of them does not know is a
 * failure that no retry cures. Arbiters hold no data and are left out.
 */
export async function readTopology(
  site: Site,
  database: string,
  host: HostName,
  options: AskOptions = {},
): Promise<MongodbTopology> {
  const topology = engineOf(site, database).mongos
    ? await readCluster(site, database, host, options)
    : await readMember(site, database, host, options);
  compareMembers(
    site,
    database,
    topology.sets.flatMap((set) => set.members),
  );
  compareSets(site, database, topology.sets);
  return topology;
}

/** The data-bearing members of a replica set configuration, hidden ones too. */
export function dataMembers(config: Document): readonly string[] {
  return (config['members'] as Document[])
    .filter((m) => m['arbiterOnly'] !== true)
    .map((m) => String(m['host']));
}

/** Made when the set is initiated: members of another one are not listened to. As hex; null: of a set from before 3.2. */
export function setIdOf(config: Document): string | null {
  const id: unknown = (config['settings'] as Document | undefined)?.['replicaSetId'];
  return id instanceof ObjectId ? id.toHexString() : null;
}

async function readCluster(
  site: Site,
  database: string,
  host: HostName,
  options: AskOptions,
): Promise<MongodbTopology> {
  const seen = await withMongos(site, database, askMongos, options);
  const hidden = await hiddenMembers(site, database, host, seen.sets, options);
  return {
    ...seen,
    topology: 'sharded',
    sets: seen.sets.map((set) => ({
      ...set,
      members: [...new Set([...set.members, ...(hidden.get(set.set) ?? [])])],
    })),
  };
}

async function askMongos(mongos: MongoClient): Promise<Omit<MongodbTopology, 'topology'>> {
  const admin = mongos.db('admin');
  const { map } = (await admin.command({ getShardMap: 1 })) as unknown as { map: Record<string, string> };
  const pools = (await admin.command({ connPoolStats: 1 })) as unknown as {
    replicaSets: Record<string, { hosts: { addr: string; ismaster: boolean }[] }>;
  };
  const sets = Object.entries(map).map(([shard, connection]): SetOf => {
    const [set = shard, hosts = ''] = connection.split('/');
    return {
      set,
      role: shard === 'config' ? 'config' : 'shard',
      members: hosts.split(','),
      primary: pools.replicaSets[set]?.hosts.find((h) => h.ismaster)?.addr ?? null,
    };
  });
  const shards = await mongos
    .db('config')
    .collection('shards')
    .find({}, { readConcern: { level: 'majority' }, sort: { _id: 1 }, promoteValues: false })
    .toArray();
  return { sets, shards: shards.map(toPlain), balancer: await readBalancerSettings(mongos) };
}

/** Mongos does not see hidden members; a member on this host, which the site file names, does. */
async function hiddenMembers(
  site: Site,
  database: string,
  host: HostName,
  sets: readonly SetOf[],
  options: AskOptions,
): Promise<Map<string, readonly string[]>> {
  const shown = new Set(sets.flatMap((set) => set.members));
  const found = new Map<string, readonly string[]>();
  if (Object.keys(engineOf(site, database).members).every((member) => shown.has(member))) return found;
  for (const member of membersOn(site, database, host)) {
    const config = await withMember(site, database, member, readConfig, options);
    if (config) found.set(String(config['_id']), dataMembers(config));
  }
  return found;
}

async function readMember(
  site: Site,
  database: string,
  host: HostName,
  options: AskOptions,
): Promise<MongodbTopology> {
  const here = membersOn(site, database, host);
  if (here.length === 0) throw refusal(`${database} has no member on host ${host} in the site file.`);
  let failure: unknown;
  for (const member of here) {
    try {
      return await withMember(
        site,
        database,
        member,
        (client) => askMember(client, database, member),
        options,
      );
    } catch (error) {
      failure ??= error;
    }
  }
  throw failure;
}

async function askMember(client: MongoClient, database: string, member: string): Promise<MongodbTopology> {
  const options = await client.db('admin').command({ getCmdLineOpts: 1 });
  const sharding = (options['parsed'] as Document)['sharding'] as Document | undefined;
  const role: unknown = sharding?.['clusterRole'];
  if (typeof role === 'string')
    throw refusal(
      `${database} member ${member} is a ${role} of a sharded cluster. Name its mongos in the site file: one set alone is no backup of a cluster.`,
    );
  const config = await readConfig(client);
  if (!config) {
    const set: SetOf = { set: member, role: 'standalone', members: [member], primary: member };
    return { topology: 'standalone', sets: [set], shards: null, balancer: null };
  }
  const hello = await client.db('admin').command({ hello: 1 });
  const set: SetOf = {
    set: String(config['_id']),
    role: 'replica-set',
    members: dataMembers(config),
    primary: typeof hello['primary'] === 'string' ? hello['primary'] : null,
  };
  return { topology: 'replica-set', sets: [set], shards: null, balancer: null };
}

/** null: a standalone server. */
export async function readConfig(client: MongoClient): Promise<Document | null> {
  const hello = await client.db('admin').command({ hello: 1 });
  if (typeof hello['setName'] !== 'string' && hello['isreplicaset'] !== true) return null;
  return (await client.db('admin').command({ replSetGetConfig: 1 }))['config'] as Document;
}

function compareSets(site: Site, database: string, sets: readonly SetOf[]): void {
  const problems = Object.entries(engineOf(site, database).members).flatMap(([member, { replicaSet }]) => {
    const found = sets.find(({ members }) => members.includes(member))?.set;
    return replicaSet === undefined || replicaSet === found
      ? []
      : [`${member} is of replica set ${found ?? '(none)'}, and the site file says ${replicaSet}`];
  });
  if (problems.length > 0) throw refusal(`${database}: ${problems.join('; ')}.`);
}

/** Throws unless the site file and the cluster name the same members. */
export function compareMembers(site: Site, database: string, cluster: readonly string[]): void {
  const named = Object.keys(engineOf(site, database).members);
  const notInCluster = named.filter((member) => !cluster.includes(member));
  const notInFile = cluster.filter((member) => !named.includes(member));
  const problems = [
    ...notInCluster.map(
      (m) => `the cluster does not know ${m}, which the site file names${nearest(m, cluster)}`,
    ),
    ...notInFile.map(
      (m) => `the site file does not name ${m}, which is a member of the cluster${nearest(m, named)}`,
    ),
  ];
  if (problems.length > 0)
    throw refusal(`${database}: ${problems.join('; ')}. Members are named as the cluster calls them.`);
}
