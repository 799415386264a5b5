import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MongoClient, type Document } from 'mongodb';
import type { Places } from './places.ts';

export const database = 'vitam';
/** Every service writes to one of them. */
export const collections = ['units', 'operations'] as const;

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

/** Makes the sharded collections, with chunks on both shards before the first document, and fills them. */
export async function fillDatabase(uri: string, places: Places): Promise<number> {
  const client = new MongoClient(uri, { w: 'majority' });
  try {
    const admin = client.db('admin');
    for (const name of collections)
      await admin.command({
        shardCollection: `${database}.${name}`,
        key: { _id: 'hashed' },
        numInitialChunks: 4,
      });
    await Promise.all(collections.map((name) => fill(client, name, places)));
    await client
      .db('config')
      .collection<Document & { _id: string }>('settings')
      .updateOne({ _id: 'balancer' }, { $set: balancerSettings }, { upsert: true });
    return collections.length * documentsEach;
  } finally {
    await client.close();
  }
}

async function fill(client: MongoClient, name: string, places: Places): Promise<void> {
  const ids = Array.from({ length: documentsEach }, (_, n) => `archive-${name}-${n}`);
  for (let n = 0; n < ids.length; n += perBulk) {
    const documents = ids
      .slice(n, n + perBulk)
      .map((_id) => ({ _id, title: `unit ${_id}`, content: _id.repeat(20) }));
    await client.db(database).collection<{ _id: string }>(name).insertMany(documents, { ordered: false });
  }
  writeFileSync(join(places.acknowledged, `archive-${name}.ids`), `${ids.join('\n')}\n`);
}
