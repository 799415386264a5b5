import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MongoClient, type Document } from 'mongodb';
import type { DemoCluster } from './cluster.ts';
import type { Places } from './places.ts';

/** What is in a database of the miniature. */
export interface Content {
  readonly database: string;
  /** Every service that uses it writes to one of them. */
  readonly collections: readonly string[];
}

export const vitamContent: Content = { database: 'vitam', collections: ['units', 'operations'] };
export const offerContent: Content = { database: 'offer', collections: ['objects'] };

const documentsEach = 1_500;
const perBulk = 500;

/**
 * Not what a new cluster has, so that only a whole restore of the settings looks right: a window that is always open,
 * and a word of the operators.
 */
export const balancerSettings = {
  stopped: false,
  mode: 'full',
  activeWindow: { start: '00:00', stop: '23:59' },
  comment: 'set by the operators of the demo',
} as const;

export async function fillDatabases(cluster: DemoCluster, places: Places): Promise<void> {
  await Promise.all([
    fillSharded(cluster.uri, places),
    withClient(cluster.offer.uri, (client) => fill(client, offerContent, places)),
  ]);
}

/** Makes the sharded collections, with chunks on both shards before the first document, and fills them. */
async function fillSharded(uri: string, places: Places): Promise<void> {
  const { database, collections } = vitamContent;
  await withClient(uri, async (client) => {
    const admin = client.db('admin');
    for (const name of collections)
      await admin.command({
        shardCollection: `${database}.${name}`,
        key: { _id: 'hashed' },
        numInitialChunks: 4,
      });
    await fill(client, vitamContent, places);
    await client
      .db('config')
      .collection<Document & { _id: string }>('settings')
      .updateOne({ _id: 'balancer' }, { $set: balancerSettings }, { upsert: true });
  });
}

async function withClient(uri: string, work: (client: MongoClient) => Promise<void>): Promise<void> {
  const client = new MongoClient(uri, { w: 'majority' });
  try {
    await work(client);
  } finally {
    await client.close();
  }
}

async function fill(client: MongoClient, { database, collections }: Content, places: Places): Promise<void> {
  await Promise.all(collections.map((name) => fillOne(client, database, name, places)));
}

async function fillOne(client: MongoClient, database: string, name: string, places: Places): Promise<void> {
  const ids = Array.from({ length: documentsEach }, (_, n) => `archive-${name}-${n}`);
  for (let n = 0; n < ids.length; n += perBulk) {
    const documents = ids
      .slice(n, n + perBulk)
      .map((_id) => ({ _id, title: `unit ${_id}`, content: _id.repeat(20) }));
    await client.db(database).collection<{ _id: string }>(name).insertMany(documents, { ordered: false });
  }
  mkdirSync(join(places.acknowledged, database), { recursive: true });
  writeFileSync(join(places.acknowledged, database, `archive-${name}.ids`), `${ids.join('\n')}\n`);
}
