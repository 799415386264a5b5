import { isDeepStrictEqual } from 'node:util';
import { chunksOf, settingsOf, statesOf, withClient, type Chunk } from './before.ts';
import type { Look } from './look.ts';
import type { Facts } from './facts.ts';

export async function proveSettings({ cluster, before }: Facts): Promise<readonly string[]> {
  const now = await withClient(cluster.uri, settingsOf);
  return isDeepStrictEqual(now, before.settings)
    ? []
    : [`before ${JSON.stringify(before.settings)}`, `now ${JSON.stringify(now)}`];
}

/** The cluster is whole, and able to do what it did before. */
export async function proveCluster(facts: Facts, look: Look): Promise<void> {
  const { shards, config, offer } = facts.cluster;
  for (const { name, uri } of [...shards, config])
    await look(`${name} has a primary and two secondaries, the members it had`, health(facts, name, uri, 2));
  await look(`${offer.name} has its primary`, health(facts, offer.name, offer.uri, 0));
  await look('a chunk can be moved to the other shard', move(facts));
}

async function health(
  { before }: Facts,
  set: string,
  uri: string,
  secondaries: number,
): Promise<readonly string[]> {
  const states = await withClient(uri, statesOf);
  const names = states.map(({ name }) => name);
  const roles = states.map(({ stateStr }) => stateStr).sort();
  return isDeepStrictEqual(names, before.members.get(set)) &&
    isDeepStrictEqual(roles, ['PRIMARY', ...Array<string>(secondaries).fill('SECONDARY')]) &&
    states.every(({ health: isUp }) => isUp === 1)
    ? []
    : [`was ${JSON.stringify(before.members.get(set))}`, `is ${JSON.stringify(states)}`];
}

async function move({ cluster }: Facts): Promise<readonly string[]> {
  return withClient(cluster.uri, async (client) => {
    const chunks = await chunksOf(client);
    const [chunk] = chunks;
    const other = chunks.find(({ shard }) => shard !== chunk?.shard)?.shard;
    if (!chunk || other === undefined) return [`the chunks lie on one shard: ${JSON.stringify(chunks)}`];
    await client.db('admin').command({
      moveRange: chunk.collection,
      min: chunk.min,
      max: chunk.max,
      toShard: other,
    });
    const moved = (await chunksOf(client)).find((now) => isSame(now, chunk));
    return moved?.shard === other ? [] : [`${JSON.stringify(chunk)} is on ${moved?.shard ?? 'no shard'}`];
  });
}

function isSame(a: Chunk, b: Chunk): boolean {
  return a.collection === b.collection && isDeepStrictEqual(a.min, b.min);
}
