import { createHash } from 'node:crypto';
import { BSON, type CollectionInfo, type Db, type Document, type MongoClient } from 'mongodb';
import type { Optime } from '../../model/ledger.ts';
import type { Site } from '../../model/site.ts';
import { withMember } from './connect.ts';
import { trouble } from './errors.ts';
import { readStatus } from './member-status.ts';
import { writesAfter } from './oplog.ts';
import { optimeText, reached } from './optime.ts';
import type { Plain } from './plain.ts';
import { poll, type Patience } from './poll.ts';

/** Written by the servers for themselves, at any time. */
const internalDatabases = new Set(['admin', 'config', 'local']);
/** Of a config set: what makes the cluster. Everything else in `config` is internal. */
const clusterCollections = ['chunks', 'collections', 'databases', 'tags'];
const accountCollections = ['system.users', 'system.roles'];
/**
 * Of user databases: each member has its own, with a UUID of its own. The server's rule (`NamespaceString::isReplicated`
 * of 4.4 to 8.0): all of `local`, and this one; every other collection is replicated, the buckets of time series too.
 */
const ownOfEachMember = new Set(['system.profile']);

/** Whether all members of a set have that collection of a user database. */
export function isReplicated(collection: string): boolean {
  return !ownOfEachMember.has(collection);
}

/**
 * What is in a member, to compare with what a copy opened as a standalone server holds: for each user collection its
 * dbHash, and, since dbHash sees neither, a digest of its UUID, options and indexes. It reads everything and locks each
 * database meanwhile: for a member that is not the one being stopped. `none` with a reason where the content moves by
 * itself, or was written to between the marker and the end of the reading: it is not what the copy holds then.
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
      const what = `${database} member ${member}`;
      if (marker) await waitForMarker(client, what, marker, patience);
      const print = await settledFingerprint(client);
      const writes = marker ? await writesAfter(client, what, marker) : [];
      return writes.length === 0
        ? print
        : { none: `it was written to before its content was read: ${writes.slice(0, 5).join('; ')}` };
    },
    patience,
  );
}

/** Of any server: `none` with a reason where the content moves by itself, or will once it is restored. */
export async function settledFingerprint(client: MongoClient): Promise<Plain> {
  const why = await whatMoves(client);
  return why === null ? fingerprintOf(client) : { none: why };
}

/** The same of any server, such as an opened copy. */
export async function fingerprintOf(client: MongoClient): Promise<Plain> {
  const names = await userDatabases(client);
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
  const lines = await Promise.all(
    (await collectionsOf(db)).map(async (info) => {
      const definition = {
        type: info.type,
        options: info.options,
        info: info.info,
        indexes: byName(await indexesOf(db, info)),
      };
      return [info.name, [collections[info.name], digestOf(definition)].filter(Boolean).join(' ')] as const;
    }),
  );
  return Object.fromEntries(lines.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/** Views and time series too. */
async function collectionsOf(db: Db): Promise<readonly CollectionInfo[]> {
  const listed = await db.listCollections({}, { nameOnly: false }).toArray();
  return listed.filter(({ name }) => isReplicated(name));
}

/** Of time series by their own name: no role gives the listing of `system.` collections in every database. */
async function indexesOf(db: Db, { name, type }: CollectionInfo): Promise<readonly Document[]> {
  return type === 'view' || name.startsWith('system.') ? [] : db.collection(name).listIndexes().toArray();
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

/** User collections that a TTL index, or an option of their own, empties while `ttlMonitorEnabled` is on. */
export async function ttlCollections(client: MongoClient): Promise<readonly string[]> {
  const { ttlMonitorEnabled } = await client.db('admin').command({ getParameter: 1, ttlMonitorEnabled: 1 });
  if (ttlMonitorEnabled === false) return [];
  const found: string[] = [];
  for (const db of await userDatabases(client))
    for (const info of await collectionsOf(client.db(db))) {
      if (info.name.startsWith('system.')) continue;
      const options: Document = info.options ?? {};
      const indexes = await indexesOf(client.db(db), info);
      if ([options, ...indexes].some((one) => one['expireAfterSeconds'] !== undefined))
        found.push(`${db}.${info.name}`);
    }
  return found;
}

export async function userCollections(
  client: MongoClient,
): Promise<readonly { readonly db: string; readonly collection: string }[]> {
  const lists = await Promise.all(
    (await userDatabases(client)).map(async (db) => {
      const collections = await client.db(db).listCollections({ type: 'collection' }).toArray();
      return collections.map(({ name }) => ({ db, collection: name }));
    }),
  );
  return lists.flat();
}

async function userDatabases(client: MongoClient): Promise<readonly string[]> {
  const { databases } = await client.db('admin').admin().listDatabases({ nameOnly: true });
  return databases.map(({ name }) => name).filter((name) => !internalDatabases.has(name));
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
