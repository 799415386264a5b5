import type { MongodbEngine } from './site.ts';

type Shard = Readonly<Record<string, unknown>>;

/** What differs between two contents of config.shards, in words: shards by name, each with its replica set and hosts. */
export function differentShards(before: readonly Shard[], now: readonly Shard[]): readonly string[] {
  const [was, is] = [byName(before), byName(now)];
  return [...new Set([...was.keys(), ...is.keys()])].sort().flatMap((name) => {
    const [there, here] = [was.get(name), is.get(name)];
    if (there === here) return [];
    if (here === undefined) return [`shard ${name} (${there ?? ''}) of the set is missing`];
    if (there === undefined) return [`shard ${name} (${here}) is not in the set`];
    return [`shard ${name} is ${here}, and was ${there}`];
  });
}

function byName(shards: readonly Shard[]): ReadonlyMap<string, string> {
  return new Map(
    shards.map((shard) => {
      const [set = '', hosts = ''] = String(shard['host']).split('/');
      return [String(shard['_id']), `${set}/${hosts.split(',').sort().join(',')}`];
    }),
  );
}

/** Of a sharded cluster, as the site file names them. */
export function membersOfSet(members: MongodbEngine['members'], set: string): readonly string[] {
  return Object.entries(members).flatMap(([name, { replicaSet }]) => (replicaSet === set ? [name] : []));
}

/** As MongoDB writes a replica set: `shard1/one:27018,two:27018`. */
export function connectionOf(members: MongodbEngine['members'], set: string): string {
  return `${set}/${membersOfSet(members, set).join(',')}`;
}

/** A content of config.shards as it is once the shards have the members of the site file. */
export function shardsAt(members: MongodbEngine['members'], shards: readonly Shard[]): readonly Shard[] {
  return shards.map((shard) => ({ ...shard, host: connectionOf(members, setOf(shard)) }));
}

export function setOf({ host }: Shard): string {
  return String(host).split('/')[0] ?? '';
}
