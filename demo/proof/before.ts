import { MongoClient, type Document } from 'mongodb';
import type { Site } from '../../model/site.ts';
import type { DemoCluster } from '../cluster.ts';
import type { Places } from '../places.ts';
import { instanceOf, isRunning, type Unit } from '../services/supervised.ts';
import { unitsOf, type Vitam } from '../vitam.ts';

/** What was there before the night. */
export interface Before {
  /** Every service of the site, the servers of the cluster too. */
  readonly services: ReadonlyMap<
    string,
    { readonly unit: Unit; readonly running: boolean; readonly instance: number }
  >;
  /** All of config.settings. */
  readonly settings: readonly Document[];
  /** By replica set: its members as it knows them. */
  readonly members: ReadonlyMap<string, readonly string[]>;
  readonly chunks: readonly Chunk[];
}

export interface Chunk {
  readonly collection: string;
  readonly shard: string;
  readonly min: Document;
  readonly max: Document;
}

export async function lookBefore(
  places: Places,
  site: Site,
  cluster: DemoCluster,
  vitam: Vitam,
): Promise<Before> {
  const sets = [...cluster.shards, cluster.config, cluster.offer];
  return {
    services: new Map(
      [...unitsOf(places, site, vitam)].map(([name, unit]) => [
        name,
        { unit, running: isRunning(unit), instance: instanceOf(unit) },
      ]),
    ),
    settings: await withClient(cluster.uri, settingsOf),
    chunks: await withClient(cluster.uri, chunksOf),
    members: new Map(
      await Promise.all(
        sets.map(async ({ name, uri }) => [name, await withClient(uri, memberNames)] as const),
      ),
    ),
  };
}

export async function withClient<T>(uri: string, ask: (client: MongoClient) => Promise<T>): Promise<T> {
  const client = new MongoClient(uri, { serverSelectionTimeoutMS: 30_000 });
  try {
    return await ask(client);
  } finally {
    await client.close();
  }
}

export function settingsOf(client: MongoClient): Promise<Document[]> {
  return client.db('config').collection('settings').find().sort({ _id: 1 }).toArray();
}

/** Of the data, not of what the servers keep for themselves. */
export async function chunksOf(client: MongoClient): Promise<Chunk[]> {
  const config = client.db('config');
  const collections = await config.collection('collections').find().toArray();
  const chunks = await config.collection('chunks').find().sort({ uuid: 1, min: 1 }).toArray();
  return chunks.flatMap(({ uuid, shard, min, max }) => {
    const name = String(collections.find((one) => String(one['uuid']) === String(uuid))?._id);
    if (!name.startsWith('vitam.')) return [];
    return [{ collection: name, shard: String(shard), min: min as Document, max: max as Document }];
  });
}

async function memberNames(client: MongoClient): Promise<readonly string[]> {
  const { config } = (await client.db('admin').command({ replSetGetConfig: 1 })) as unknown as {
    config: { members: { host: string }[] };
  };
  return config.members.map(({ host }) => host).sort();
}

export interface MemberState {
  readonly name: string;
  readonly stateStr: string;
  readonly health: number;
}

export async function statesOf(client: MongoClient): Promise<readonly MemberState[]> {
  const { members } = (await client.db('admin').command({ replSetGetStatus: 1 })) as unknown as {
    members: MemberState[];
  };
  return [...members].sort((a, b) => a.name.localeCompare(b.name));
}
