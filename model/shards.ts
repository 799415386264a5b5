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
