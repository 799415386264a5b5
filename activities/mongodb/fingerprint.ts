import { createHash } from 'node:crypto';
import { BSON, type Document, type MongoClient } from 'mongodb';
import type { Optime } from '../../model/ledger.ts';
import type { Site } from '../../model/site.ts';
import { withMember } from './connect.ts';
import { trouble } from './errors.ts';
import { readStatus } from './member-status.ts';
import { optimeText, reached } from './optime.ts';
import type { Plain } from './plain.ts';
import { poll, type Patience } from './poll.ts';

/** Written by the servers for themselves, at any time. */
const internalDatabases = new Set(['admin', 'config', 'local']);
/** Of a config set: what makes the cluster. Everything else in `config` is internal. */
const clusterCollections = ['chunks', 'collections', 'databases', 'tags'];
const accountCollections = ['system.users', 'system.roles'];

/**
 * What is in a member, to compare with what a copy opened as a standalone server holds: for each user collection its
 * dbHash, and, since dbHash sees neither, a digest of its UUID, options and indexes. It reads everything and locks each
 * database meanwhile: for a member that is not the one being stopped. `none` with a reason where the content moves by
 * itself.
 */
export async function readFingerprint(
  site: Site,
  database: string,
  member: string,
  marker: Optime | null,
  patience: Patience,
): Promise<Plain> {
  return withMember(
    site,
    database,
    member,
    async (client) => {
      if (marker) await waitForMarker(client, `${database} member ${member}`, marker, patience);
      const why = await whatMoves(client);
      return why === null ? fingerprintOf(client) : { none: why };
    },
    patience,
  );
}

/** The same of any server, such as an opened copy. */
export async function fingerprintOf(client: MongoClient): Promise<Plain> {
  const { databases } = await client.db('admin').admin().listDatabases({ nameOnly: true });
  const names = databases.map((d) => d.name).filter((name) => !internalDatabases.has(name));
  const contents: Record<string, Plain> = {};
  for (const name of names.toSorted()) contents[name] = await contentOf(client, name);
  return {
    databases: contents,
    cluster: await hashes(client, 'config', clusterCollections),
    accounts: await hashes(client, 'admin', accountCollections),
  };
}

/** By name, `<dbHash> <digest of UUID, options and indexes>`; of a view the digest alone. */
async function contentOf(client: MongoClient, name: string): Promise<Plain> {
  const db = client.db(name);
  const { collections } = (await db.command({ dbHash: 1 })) as unknown as {
    collections: Record<string, string>;
  };
  const listed = await db.listCollections({}, { nameOnly: false }).toArray();
  const lines = await Promise.all(
    listed.map(async (info) => {
      const indexes =
        info.type === 'collection' ? await db.collection(info.name).listIndexes().toArray() : [];
      const definition = {
        type: info.type,
        options: info.options,
        info: info.info,
        indexes: byName(indexes),
      };
      return [info.name, [collections[info.name], digestOf(definition)].filter(Boolean).join(' ')] as const;
    }),
  );
  return Object.fromEntries(lines.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

async function hashes(client: MongoClient, name: string, only: readonly string[]): Promise<Plain> {
  const answer = await client.db(name).command({ dbHash: 1, collections: only });
  return answer['collections'] as Plain;
}

function digestOf(definition: Document): string {
  // A secondary, and a copy that is being recovered, say readOnly.
  const info = { ...((definition['info'] ?? {}) as Document), readOnly: undefined };
  const text = BSON.EJSON.stringify(sortKeys({ ...definition, info }), { relaxed: false });
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}

function byName(indexes: readonly Document[]): readonly Document[] {
  return indexes.toSorted((a, b) => (String(a['name']) < String(b['name']) ? -1 : 1));
}

/** The top level only: in a key pattern the order counts. */
function sortKeys(document: Document): Document {
  return Object.fromEntries(Object.entries(document).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

async function whatMoves(client: MongoClient): Promise<string | null> {
  const pending = await client.db('config').collection('rangeDeletions').find().limit(3).toArray();
  if (pending.length > 0)
    return `the range deleter still removes what was migrated away from ${pending.map((d) => String(d['nss'])).join(', ')}`;
  const expiring = await ttlCollections(client);
  return expiring.length > 0 ? `a TTL index removes documents of ${expiring.join(', ')}` : null;
}

/** User collections that a TTL index empties while `ttlMonitorEnabled` is on. */
export async function ttlCollections(client: MongoClient): Promise<readonly string[]> {
  const { ttlMonitorEnabled } = await client.db('admin').command({ getParameter: 1, ttlMonitorEnabled: 1 });
  if (ttlMonitorEnabled === false) return [];
  const found: string[] = [];
  for (const { db, collection } of await userCollections(client)) {
    const indexes = await client.db(db).collection(collection).listIndexes().toArray();
    if (indexes.some((index: Document) => index['expireAfterSeconds'] !== undefined))
      found.push(`${db}.${collection}`);
  }
  return found;
}

export async function userCollections(
  client: MongoClient,
): Promise<readonly { readonly db: string; readonly collection: string }[]> {
  const { databases } = await client.db('admin').admin().listDatabases({ nameOnly: true });
  const names = databases.map(({ name }) => name).filter((name) => !internalDatabases.has(name));
  const lists = await Promise.all(
    names.map(async (db) => {
      const collections = await client.db(db).listCollections({ type: 'collection' }).toArray();
      return collections.map(({ name }) => ({ db, collection: name }));
    }),
  );
  return lists.flat();
}

async function waitForMarker(
  client: MongoClient,
  what: string,
  marker: Optime,
  patience: Patience,
): Promise<void> {
  const end = await poll(async () => {
    const applied = (await readStatus(client))?.applied ?? null;
    return reached(applied, marker) ? { value: true } : { still: optimeText(applied) };
  }, patience);
  if ('still' in end)
    throw trouble(`${what} is at ${end.still} and has not reached the marker ${optimeText(marker)}.`);
}
