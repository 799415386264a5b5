import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { MongoClient } from 'mongodb';
import { openCopy } from '../../activities/mongodb/open-copy.ts';
import type { DatabaseRecord, MongodbSetRecord } from '../../model/manifest.ts';
import { mongodOf } from '../cluster.ts';
import { offerContent, vitamContent, type Content } from '../documents.ts';
import { freePort } from '../local/ports.ts';
import { chunksOf, withClient } from './before.ts';
import { program } from '../programs.ts';
import { such, type Look } from './look.ts';
import type { Facts } from './facts.ts';
import { unpack, type PublishedSet } from './set.ts';

/**
 * A scratch copy of each copied member, opened. The shards hold, together, every document that was acknowledged before
 * the last writer stopped, and no other; the config servers' copy says where the chunks were.
 */
export async function proveCopies(facts: Facts, set: PublishedSet, look: Look): Promise<void> {
  const records = recordsOf(set);
  const shards = records.filter(({ role }) => role === 'shard');
  const config = records.find(({ role }) => role === 'config');
  const offer = records.filter(({ role }) => role === 'replica-set');
  const acknowledged = acknowledgedIds(facts, vitamContent);
  const ofOffer = acknowledgedIds(facts, offerContent);
  await Promise.all([
    look(
      `the copies of ${shards.length} shards hold the ${acknowledged.size} documents acknowledged, and no other`,
      proveDocuments(facts, set, shards, vitamContent, acknowledged),
    ),
    look(
      `the copy of the offer’s MongoDB holds the ${ofOffer.size} documents acknowledged, and no other`,
      proveDocuments(facts, set, offer, offerContent, ofOffer),
    ),
    look('the copy of the config servers has the chunks as they lay', proveChunks(facts, set, config)),
  ]);
}

function recordsOf({ manifest }: PublishedSet): readonly MongodbSetRecord[] {
  return manifest.databases
    .filter((record): record is Extract<DatabaseRecord, { engine: 'mongodb' }> => record.engine === 'mongodb')
    .flatMap(({ sets }) => sets);
}

async function proveDocuments(
  facts: Facts,
  set: PublishedSet,
  shards: readonly MongodbSetRecord[],
  content: Content,
  acknowledged: ReadonlySet<string>,
): Promise<readonly string[]> {
  const perShard = await Promise.all(
    shards.map((record) =>
      whileOpen(facts, set, record, (uri) => withClient(uri, (client) => idsOf(client, content))),
    ),
  );
  const held = perShard.flat();
  const heldOnce = new Set(held);
  const missing = [...acknowledged].filter((id) => !heldOnce.has(id));
  const extra = [...heldOnce].filter((id) => !acknowledged.has(id));
  return [
    ...such(missing, 'are missing'),
    ...such(extra, 'nobody acknowledged'),
    ...(held.length > heldOnce.size ? [`${held.length - heldOnce.size} are on two shards`] : []),
    ...perShard.flatMap((ids, index) =>
      ids.length > 0 ? [] : [`${shards[index]?.set ?? ''} holds nothing`],
    ),
  ];
}

async function proveChunks(
  facts: Facts,
  set: PublishedSet,
  config: MongodbSetRecord | undefined,
): Promise<readonly string[]> {
  if (!config) return ['there is no copy of them'];
  const chunks = await whileOpen(facts, set, config, (uri) => withClient(uri, chunksOf));
  return isDeepStrictEqual(chunks, facts.before.chunks) &&
    new Set(chunks.map(({ shard }) => shard)).size === 2
    ? []
    : [`were ${JSON.stringify(facts.before.chunks)}`, `copied ${JSON.stringify(chunks)}`];
}

async function whileOpen<T>(
  facts: Facts,
  set: PublishedSet,
  { artifact, member, marker, role }: MongodbSetRecord,
  ask: (uri: string) => Promise<T>,
): Promise<T> {
  const root = await unpack(facts, set, artifact);
  const dataDir = [...facts.cluster.memberOf.values()].find(({ name }) => name === member)?.dataDir ?? '';
  const copy = await openCopy({
    archiveDir: join(root, dataDir),
    scratchDir: `${root}-scratch`,
    command: program(mongodOf(role === 'replica-set' ? 'offer-mongo' : 'vitam-mongo')),
    port: await freePort(),
    marker,
    readOnly: true,
  });
  try {
    return await ask(copy.uri);
  } finally {
    await copy.stop();
  }
}

export async function idsOf(
  client: MongoClient,
  { database, collections }: Content,
): Promise<readonly string[]> {
  const ids = await Promise.all(
    collections.map((name) =>
      client
        .db(database)
        .collection<{ _id: string }>(name)
        .find({}, { projection: { _id: 1 } })
        .map(({ _id }) => _id)
        .toArray(),
    ),
  );
  return ids.flat();
}

/** Of the archive and of every service's start before the night; what came after the restart is not among them. */
export function acknowledgedIds({ places }: Facts, { database }: Content): ReadonlySet<string> {
  const folder = join(places.acknowledged, database);
  const files = readdirSync(folder).filter((name) => /(^archive-.*|-1)\.ids$/.test(name));
  return new Set(
    files.flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n').filter(Boolean)),
  );
}
