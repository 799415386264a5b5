import type { Document, MongoClient } from 'mongodb';
import type { Check } from '../../model/progress.ts';
import type { HostName, Site } from '../../model/site.ts';
import { modeOf, readBalancerSettings } from './balancer.ts';
import { connectedClients } from './clients.ts';
import { withMember, withMongos } from './connect.ts';
import { describeMember } from './describe.ts';
import { engineOf, memberOf, membersOn } from './engine.ts';
import { ttlCollections } from './fingerprint.ts';
import { documentsInTheWay, operationsInTheWay } from './gate.ts';
import { lacksMajorityWithout, readStatus, type MemberStatus } from './member-status.ts';
import { compareMembers, dataMembers, readConfig, readTopology } from './topology.ts';

export interface MongodbCheckOptions {
  readonly signal?: AbortSignal | undefined;
  /** How long a member may stay down: until the run is over at the latest. Absent: not compared with the oplog. */
  readonly absenceMs?: number;
  /** The service manager's own limit, after which it kills. Absent or null: not known. */
  readonly stopTimeoutMs?: (service: string) => Promise<number | null>;
}

type Row = Omit<Check, 'host' | 'subject'>;

/** A router pings every 10 s; one that has not for this long is gone. */
const routerAliveMs = 60_000;
const doc = 'docs/mongodb.md';

/** The rows of the go/no-go table for what this host has of a database. Changes nothing, throws nothing. */
export async function checkMongodb(
  site: Site,
  database: string,
  host: HostName,
  options: MongodbCheckOptions = {},
): Promise<readonly Check[]> {
  const engine = engineOf(site, database);
  const rows = async (subject: string, ask: () => Promise<readonly Row[]>): Promise<readonly Check[]> => {
    const found = await ask().catch((error: unknown) => [noGo(textOf(error))]);
    return goesInOne(found).map((row) => ({ host, subject, ...row }));
  };
  const groups = await Promise.all([
    engine.mongos?.host === host
      ? rows(`${database} mongos`, () => checkRouter(site, database, host, options))
      : [],
    ...membersOn(site, database, host).map((member) =>
      rows(`${database} ${member}`, () => checkMember(site, database, member, options)),
    ),
  ]);
  return groups.flat();
}

/** What is well needs one line. */
function goesInOne(rows: readonly Row[]): readonly Row[] {
  const well = rows.filter((row) => row.verdict === 'go').map((row) => row.detail);
  return [...(well.length === 0 ? [] : [go(well.join('; '))]), ...rows.filter((row) => row.verdict !== 'go')];
}

async function checkRouter(
  site: Site,
  database: string,
  host: HostName,
  { signal }: MongodbCheckOptions,
): Promise<readonly Row[]> {
  const topology = await readTopology(site, database, host, { signal });
  const sets = topology.sets.map((set) => `${set.set} of ${set.members.length}`).join(', ');
  return withMongos(
    site,
    database,
    async (mongos) => {
      const settings = await readBalancerSettings(mongos);
      await documentsInTheWay(mongos);
      await operationsInTheWay(mongos, false);
      return [
        go(`as the site file says: ${sets}`),
        go(`the balancer is ${modeOf({ kind: 'balancer', settings })}, and will be again`),
        await mayStopBalancer(mongos),
        await otherRouters(mongos),
        await clientsOf(mongos),
      ];
    },
    { signal },
  );
}

async function mayStopBalancer(mongos: MongoClient): Promise<Row> {
  const status = await mongos.db('admin').command({ connectionStatus: 1, showPrivileges: true });
  const actions = new Set(
    privilegesOf(status)
      .filter((p) => covers(p.resource, 'config', 'settings'))
      .flatMap((p) => p.actions),
  );
  const missing = isOpen(status) ? [] : ['find', 'insert', 'update', 'remove'].filter((a) => !actions.has(a));
  return missing.length === 0
    ? go('may stop the balancer and put its settings back')
    : noGo(`lacks ${missing.join(', ')} on config.settings`, `give the user the role of ${doc}`);
}

async function otherRouters(mongos: MongoClient): Promise<Row> {
  const { host: self } = await mongos
    .db('admin')
    .command({ serverStatus: 1, repl: 0, metrics: 0, wiredTiger: 0 });
  const others = (await routersAlive(mongos)).filter((id) => id !== self);
  return others.length === 0
    ? go(`no other router: only ${String(self)} is alive`)
    : warning(
        `routers that the site file does not name are alive: ${others.join(', ')}`,
        'writers behind them must be among used-by, or stop them: a write after the marker makes the set invalid',
      );
}

/** Who writes among them must be in used-by; which of them does, nobody can tell from outside. */
async function clientsOf(client: MongoClient): Promise<Row> {
  const clients = await connectedClients(client);
  return go(clients.length === 0 ? 'no client is connected' : `clients: ${clients.join(', ')}`);
}

/** Every mongos that has pinged lately, as it calls itself. */
export async function routersAlive(mongos: MongoClient): Promise<readonly string[]> {
  const alive = await mongos
    .db('config')
    .collection<Document & { _id: string }>('mongos')
    .find({ ping: { $gt: new Date(Date.now() - routerAliveMs) } })
    .toArray();
  return alive.map((router) => router._id);
}

async function checkMember(
  site: Site,
  database: string,
  member: string,
  options: MongodbCheckOptions,
): Promise<readonly Row[]> {
  const info = await describeMember(site, database, member, options);
  const running = go(
    `MongoDB ${info.version}, FCV ${info.fcv}, files in ${memberOf(site, database, member).data}`,
  );
  const rows = await withMember(
    site,
    database,
    member,
    async (client) => [
      await mayBeAsked(client, info.replicaSetConfig !== null),
      ...(await checkSet(site, database, client, options)),
      await expiring(client),
      await clientsOf(client),
      await checkStop(site, database, member, client, options),
    ],
    options,
  );
  return [running, ...rows];
}

/** Asks all that a run asks, but for the marker, which is a write. */
async function mayBeAsked(client: MongoClient, inSet: boolean): Promise<Row> {
  await documentsInTheWay(client);
  await operationsInTheWay(client, true);
  await client.db('admin').command({ dbHash: 1, collections: ['system.users'] });
  await client.db('config').command({ dbHash: 1, collections: ['chunks'] });
  await client.db('coldbackup').command({ dbHash: 1, collections: ['none'] });
  if (inSet) await client.db('local').collection('oplog.rs').find().sort({ $natural: 1 }).limit(1).toArray();
  const status = await client.db('admin').command({ connectionStatus: 1, showPrivileges: true });
  const mayMark =
    isOpen(status) ||
    privilegesOf(status).some(
      ({ resource, actions }) =>
        (resource['cluster'] === true && actions.includes('appendOplogNote')) ||
        resource['anyResource'] === true,
    );
  return mayMark || !inSet
    ? go('login and privileges suffice')
    : noGo('the user may not append to the oplog', `give it the role of ${doc} (appendOplogNote)`);
}

async function checkSet(
  site: Site,
  database: string,
  client: MongoClient,
  { absenceMs }: MongodbCheckOptions,
): Promise<readonly Row[]> {
  const status = await readStatus(client);
  const config = await readConfig(client);
  if (!status || !config) return [go('a standalone server: it is down while it is copied')];
  const named = dataMembers(config);
  // Mongos does not show hidden members; here every member of the set is seen.
  if (engineOf(site, database).mongos) refuseStrangers(site, database, named);
  else compareMembers(site, database, named);
  return [healthOf(status), majorityOf(site, database, status), ...(await windowOf(client, absenceMs))];
}

function refuseStrangers(site: Site, database: string, named: readonly string[]): void {
  const known = Object.keys(engineOf(site, database).members);
  compareMembers(site, database, [...new Set([...known, ...named])]);
}

function healthOf(status: MemberStatus): Row {
  const ill = [{ ...status.self, state: status.state, healthy: true }, ...status.others].filter(
    (m) => !m.healthy || !['PRIMARY', 'SECONDARY', 'ARBITER'].includes(m.state),
  );
  const states = [status, ...status.others].map((m) => m.state);
  if (ill.length > 0)
    return noGo(
      `its set is not healthy: ${ill.map((m) => `${m.name} is ${m.state}`).join(', ')}`,
      'heal the set first: a stop takes one more member away',
    );
  return states.includes('PRIMARY')
    ? go(`${status.state} of a healthy set of ${states.length}`)
    : noGo('its set has no primary', 'see rs.status()');
}

function majorityOf(site: Site, database: string, status: MemberStatus): Row {
  if (engineOf(site, database).allow.includes('set-down')) return go('its set may go down: allow says so');
  const lack = lacksMajorityWithout(status);
  return lack === null
    ? go('its set keeps a majority without it')
    : warning(
        `without this member the set would have no majority: ${lack}`,
        'it will be refused if it is the one to be stopped; allow: [set-down] permits it',
      );
}

async function windowOf(client: MongoClient, absenceMs: number | undefined): Promise<readonly Row[]> {
  const oplog = client.db('local').collection('oplog.rs');
  const [first, last] = await Promise.all(
    ([1, -1] as const).map((order) => oplog.find().sort({ $natural: order }).limit(1).next()),
  );
  const seconds = secondsOf(last) - secondsOf(first);
  const text = `its oplog reaches back ${(seconds / 3600).toFixed(1)} h`;
  const stats = await client
    .db('local')
    .command({ collStats: 'oplog.rs' })
    .catch(() => null);
  // A young oplog is short because nothing had to be removed yet.
  const isFull = stats === null || Number(stats['size']) > 0.8 * Number(stats['maxSize']);
  if (absenceMs === undefined || !isFull || seconds * 1000 > absenceMs) return [go(text)];
  return [
    noGo(
      `${text}, a stopped member may be away ${(absenceMs / 3_600_000).toFixed(1)} h`,
      'enlarge it with replSetResizeOplog: a member that is away longer has to be synchronised from scratch',
    ),
  ];
}

async function expiring(client: MongoClient): Promise<Row> {
  const collections = await ttlCollections(client);
  return collections.length === 0
    ? go('no TTL index removes documents by itself')
    : warning(
        `a TTL index removes documents of ${collections.join(', ')} at any time`,
        'a removal after the marker makes the set invalid: set ttlMonitorEnabled to false on every member for the night',
      );
}

/**
 * A member that is told to stop steps down and waits for its clients first: 15 s unless told otherwise. A limit below
 * three times that is one that a slow night reaches: the server is killed, and the copy is worth nothing.
 */
async function checkStop(
  site: Site,
  database: string,
  member: string,
  client: MongoClient,
  { stopTimeoutMs }: MongodbCheckOptions,
): Promise<Row> {
  const name = memberOf(site, database, member).service;
  const limits = [site.services[name]?.stopWithinMs, await stopTimeoutMs?.(name)].filter(
    (ms) => typeof ms === 'number',
  );
  const parameter = 'shutdownTimeoutMillisForSignaledShutdown';
  const answer = await client.db('admin').command({ getParameter: 1, [parameter]: 1 });
  const waitsMs = Number(answer[parameter]);
  const waits = `it waits up to ${waitsMs / 1000} s for its clients before it stops`;
  if (limits.length === 0) return go(waits);
  const limitMs = Math.min(...limits);
  return limitMs >= 3 * waitsMs
    ? go(`${waits}, and has ${limitMs / 1000} s`)
    : warning(
        `${waits}, and has ${limitMs / 1000} s only`,
        `allow three times as long (stop-within, TimeoutStopSec) or lower ${parameter}: a server that is killed leaves no copy`,
      );
}

interface Privilege {
  readonly resource: Document;
  readonly actions: readonly string[];
}

function privilegesOf(connectionStatus: Document): readonly Privilege[] {
  const auth = connectionStatus['authInfo'] as Document;
  return (auth['authenticatedUserPrivileges'] ?? []) as readonly Privilege[];
}

/** Nobody is logged in and was answered all the same: the server asks for no login. */
function isOpen(connectionStatus: Document): boolean {
  const auth = connectionStatus['authInfo'] as Document;
  return (auth['authenticatedUsers'] as readonly unknown[]).length === 0;
}

function covers(resource: Document, db: string, collection: string): boolean {
  if (resource['anyResource'] === true) return true;
  return (
    (resource['db'] === db || resource['db'] === '') &&
    (resource['collection'] === collection || resource['collection'] === '')
  );
}

function secondsOf(entry: Document | null | undefined): number {
  return (entry?.['ts'] as { t: number } | undefined)?.t ?? 0;
}

function go(detail: string): Row {
  return { verdict: 'go', detail };
}

function warning(detail: string, hint: string): Row {
  return { verdict: 'warning', detail, hint };
}

function noGo(detail: string, hint = `see ${doc}`): Row {
  return { verdict: 'no-go', detail, hint };
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
