import { BSON, type Document, type MongoClient } from 'mongodb';
import type { Optime } from '../../model/ledger.ts';
import type { Site } from '../../model/site.ts';
import { connectedClients } from './clients.ts';
import { withMember } from './connect.ts';
import { refusal, trouble } from './errors.ts';
import { readStatus } from './member-status.ts';
import { compareOptimes, optimeOf, optimeText, timestampOf } from './optime.ts';
import { poll, type Patience } from './poll.ts';

/**
 * What servers write by themselves while no client writes. Everything else after the marker is somebody's write. The
 * first ones were watched on 6.0 replica sets and 7.0 clusters without clients; the others come too seldom to be watched,
 * and are here by what the server is known to do.
 */
export const internalNamespaces: Readonly<Record<string, string>> = {
  'config.system.sessions': 'logical sessions, refreshed every 5 minutes and expired by a TTL index',
  'config.mongos': 'pings of the routers, every 10 s',
  'config.changelog': 'a capped log of what the cluster did, read by people',
  'config.actionlog': 'a capped log of what the balancer did, read by people',
  'config.rangeDeletions': 'bookkeeping of the range deleter',
  'admin.system.keys': 'keys that sign the cluster time, renewed every 3 months',

  'config.transactions': 'the last statement of each session, and its expiry',
  'config.image_collection': 'images of retryable findAndModify, and their expiry',
  'config.lockpings': 'pings of the distributed locks, up to 6.0',
  'config.placementHistory': 'the expiry of old placements, every 10 hours',
  'config.vectorClock': 'the cluster time that the config set keeps for its next primary',
  'config.external_validation_keys': 'keys of other clusters, and their expiry',
};

/** Routing tables that the shards keep of what the config set says; they are filled again when empty. */
const internalPrefixes = ['config.cache.'];

const shownAtMost = 20;

/**
 * Entries after the marker that are neither no-ops nor internal, one line each: somebody still writes. The first says who is
 * connected: an entry names a session at most. Waits until
 * the member has applied what the others of its set had when it was asked.
 */
export async function writesSince(
  site: Site,
  database: string,
  member: string,
  marker: Optime,
  patience: Patience,
): Promise<readonly string[]> {
  return withMember(
    site,
    database,
    member,
    async (client) => {
      await waitUntilCurrent(client, `${database} member ${member}`, patience);
      return writesAfter(client, `${database} member ${member}`, marker);
    },
    patience,
  );
}

/** The same on an open connection, of the member's own oplog as it is now. */
export async function writesAfter(
  client: MongoClient,
  what: string,
  marker: Optime,
): Promise<readonly string[]> {
  const oplog = client.db('local').collection('oplog.rs');
  const ts = timestampOf(marker);
  const at = await oplog.findOne({ ts });
  const found = at && optimeOf(at);
  if (!found || compareOptimes(found, marker) !== 0)
    throw refusal(
      `${what}: the marker ${optimeText(marker)} is not in its oplog: it was rolled back there, or the oplog is too small to reach back to it.`,
    );
  const lines: string[] = [];
  let more = 0;
  for await (const entry of oplog.find<Document>({ ts: { $gt: ts }, op: { $ne: 'n' } })) {
    for (const line of foreignWrites(entry)) {
      if (lines.length < shownAtMost) lines.push(line);
      else more += 1;
    }
  }
  const [first, ...rest] = lines;
  if (first === undefined) return [];
  const clients = await connectedClients(client).catch(() => []);
  const who = clients.length === 0 ? '' : ` (connected to ${what} now: ${clients.join(', ')})`;
  return [`${first}${who}`, ...rest, ...(more === 0 ? [] : [`and ${more} more`])];
}

/** One line for each write in an oplog entry that no server makes by itself. */
export function foreignWrites(entry: Document): readonly string[] {
  const o = entry['o'] as Document | undefined;
  const inner: unknown = o?.['applyOps'];
  const parts = Array.isArray(inner) ? (inner as Document[]) : [entry];
  const at = optimeOf(entry)?.ts.split(',')[0] ?? '0';
  const time = new Date(Number(at) * 1000).toISOString();
  return parts
    .filter((part) => !isInternal(part, entry))
    .map((part) => `${namespaceOf(part)} at ${time}${sessionOf(entry)}`);
}

function isInternal(part: Document, entry: Document): boolean {
  if (part['op'] === 'n') return true;
  if (isValidatorSetAgain(part)) return true;
  // The range deleter removes what a migration has already given to another shard.
  if (part['op'] === 'd' && (part['fromMigrate'] ?? entry['fromMigrate']) === true) return true;
  const namespace = namespaceOf(part);
  return (
    Object.hasOwn(internalNamespaces, namespace) ||
    internalPrefixes.some((prefix) => namespace.startsWith(prefix))
  );
}

/** Each new primary of the config servers gives config.settings the validator that it has (seen on 7.0). */
function isValidatorSetAgain(part: Document): boolean {
  const { collMod, validator } = (part['o'] ?? {}) as Document;
  const before = (part['o2'] as Document | undefined)?.['collectionOptions_old'] as Document | undefined;
  return (
    part['op'] === 'c' &&
    part['ns'] === 'config.$cmd' &&
    collMod === 'settings' &&
    textOf(validator) === textOf(before?.['validator'])
  );
}

function textOf(value: unknown): string {
  return BSON.EJSON.stringify({ value }, { relaxed: false });
}

/** Of a command, the collection that it is about: `create`, `drop`, `createIndexes`, `collMod` name it. */
function namespaceOf(part: Document): string {
  const ns = String(part['ns'] ?? '?');
  if (part['op'] !== 'c') return ns;
  const o = (part['o'] ?? {}) as Readonly<Record<string, unknown>>;
  const command = Object.keys(o)[0] ?? '?';
  const collection = o[command];
  if (typeof collection !== 'string' || collection === '') return `${ns} ${command}`;
  return command === 'renameCollection' ? collection : `${ns.slice(0, ns.indexOf('.'))}.${collection}`;
}

function sessionOf(entry: Document): string {
  const id = (entry['lsid'] as Document | undefined)?.['id'] as { toString(): string } | undefined;
  return id ? `, client session ${id.toString()}` : '';
}

async function waitUntilCurrent(client: MongoClient, what: string, patience: Patience): Promise<void> {
  const first = await readStatus(client);
  if (!first) throw refusal(`${what} is a standalone server: it has no oplog.`);
  const target = first.others
    .flatMap((m) => (m.healthy && m.applied ? [m.applied] : []))
    .reduce<Optime | null>((a, b) => (a && compareOptimes(a, b) > 0 ? a : b), null);
  if (!target) return;
  const end = await poll(async () => {
    const applied = (await readStatus(client))?.applied ?? null;
    return applied && compareOptimes(applied, target) >= 0
      ? { value: true }
      : { still: `it is at ${optimeText(applied)}, its set at ${optimeText(target)}` };
  }, patience);
  if ('still' in end) throw trouble(`${what} lags too far behind to tell who wrote: ${end.still}.`);
}
