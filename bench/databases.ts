import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { MongoClient } from 'mongodb';
import { createCleanup } from '../demo/local/cleanup.ts';
import { startReplicaSet } from '../demo/local/mongodb/replica-set.ts';
import { command } from './copy-rig.ts';
import { fillMariadb, makeMariadb, whileRunning } from './mariadb.ts';

/** Data directories of real servers that were stopped cleanly: two shards of MongoDB and a MariaDB, of so many MB each. */
export async function writeDatabases(folder: string, sizeMb: number): Promise<void> {
  const cleanup = createCleanup();
  try {
    const place = await cleanup.folder();
    for (const name of ['shard-1', 'shard-2']) {
      await mkdir(join(place, name));
      await writeMongodb(name, { folder: join(place, name), dataDir: join(folder, name) }, sizeMb);
    }
    const mariadb = await makeMariadb(place, join(folder, 'mariadb'));
    await whileRunning(mariadb, () => fillMariadb(mariadb, sizeMb));
  } finally {
    await cleanup.run();
  }
}

async function writeMongodb(
  name: string,
  place: { readonly folder: string; readonly dataDir: string },
  sizeMb: number,
): Promise<void> {
  await mkdir(place.dataDir, { recursive: true });
  const set = await startReplicaSet({
    ...{ mongod: command('mongod-native'), name, members: 1, placeOf: () => place },
    parameters: ['shutdownTimeoutMillisForSignaledShutdown=500'],
  });
  try {
    await fillMongodb(set.uri, sizeMb);
    for (const member of set.members) await set.stopMember(member);
  } finally {
    await set.stop();
  }
}

const bytesADocument = 8_192;
const atOnce = 256;
const states = ['validated', 'stored', 'indexed', 'refused'];

/** Half random, half repetitive, as real documents compress; three indexes, and an oplog that reaches back over all of it. */
export async function fillMongodb(uri: string, sizeMb: number): Promise<void> {
  const client = await MongoClient.connect(uri);
  try {
    // A full oplog that does not reach back for the night is a no-go.
    await client.db('admin').command({ replSetResizeOplog: 1, size: Math.max(990, 4 * sizeMb) });
    const documents = client.db('bench').collection('documents');
    await documents.createIndexes([{ key: { tenant: 1, at: 1 } }, { key: { path: 1 } }]);
    for (let n = 0; n < (sizeMb * 1_000_000) / bytesADocument; n += atOnce)
      await documents.insertMany(Array.from({ length: atOnce }, (_, index) => documentOf(n + index)));
  } finally {
    await client.close();
  }
}

function documentOf(n: number): object {
  const name = randomBytes(8).toString('hex');
  const state = states[n % states.length] ?? '';
  return {
    ...{ tenant: n % 12, at: new Date(1_600_000_000_000 + n * 7_919), state, path: `/units/${name}/${n}` },
    random: randomBytes(bytesADocument / 2),
    text: `{"state":"${state}","unit":"${name}","operation":"archive"}`.repeat(70).slice(0, 3_800),
  };
}
