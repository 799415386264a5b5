import type { Document, MongoClient } from 'mongodb';
import type { HostName, Site } from '../../model/site.ts';
import { withMember, withMongos, type AskOptions } from './connect.ts';
import { engineOf, membersOn } from './engine.ts';
import { trouble } from './errors.ts';
import { poll, type Patience } from './poll.ts';

/**
 * Waits until nothing that a cold copy would cut in two is in flight, as far as this host can see it: through mongos
 * where the site file names it on this host, and on each member of this host.
 */
export async function waitForGate(
  site: Site,
  database: string,
  host: HostName,
  patience: Patience,
): Promise<void> {
  const end = await poll(async () => {
    const inTheWay = await whatIsInTheWay(site, database, host, patience);
    return inTheWay.length === 0 ? { value: true } : { still: inTheWay.join('; ') };
  }, patience);
  if ('still' in end)
    throw trouble(
      `${database}: still in the way of a cold copy, seen from host ${host}: ${end.still}. Let it finish or end it, then retry.`,
    );
}

/** One line for each thing in flight. */
export async function whatIsInTheWay(
  site: Site,
  database: string,
  host: HostName,
  options: AskOptions = {},
): Promise<readonly string[]> {
  const router =
    engineOf(site, database).mongos?.host === host
      ? await withMongos(site, database, askRouter, options)
      : [];
  const members = await Promise.all(
    membersOn(site, database, host).map(async (member) => {
      const lines = await withMember(site, database, member, askServer, options);
      return lines.map((line) => `${line} (${member})`);
    }),
  );
  return [...new Set([...router, ...members.flat()])];
}

async function askRouter(mongos: MongoClient): Promise<readonly string[]> {
  const draining = await mongos.db('config').collection('shards').find({ draining: true }).toArray();
  const status = await mongos.db('admin').command({ balancerStatus: 1 });
  const isBusy = status['mode'] !== 'off' && status['inBalancerRound'] === true;
  return [
    ...draining.map((shard) => `shard ${String(shard._id)} is draining`),
    ...(isBusy ? ['the balancer is in a round'] : []),
    ...(await documentsInTheWay(mongos)),
    ...(await fcvInTheWay(mongos)),
    ...(await operationsInTheWay(mongos, false)),
  ];
}

async function askServer(client: MongoClient): Promise<readonly string[]> {
  return [
    ...(await documentsInTheWay(client)),
    ...(await fcvInTheWay(client)),
    ...(await operationsInTheWay(client, true)),
  ];
}

/** What the server keeps on disk of work that outlives one operation; through mongos this is the config set's. */
const traces: Readonly<Record<string, { readonly what: string; readonly filter?: Document }>> = {
  migrationCoordinators: { what: 'a migration' },
  migrationRecipients: { what: 'a migration' },
  reshardingOperations: { what: 'a resharding' },
  'localReshardingOperations.donor': { what: 'a resharding' },
  'localReshardingOperations.recipient': { what: 'a resharding' },
  'system.sharding_ddl_coordinators': { what: 'a DDL operation' },
  sharding_configsvr_coordinators: { what: 'a DDL operation' },
  transaction_coordinators: { what: 'the commit of a cross-shard transaction' },
  transactions: { what: 'a prepared transaction', filter: { state: 'prepared' } },
  'system.indexBuilds': { what: 'an index build' },
};

/** Work that the server will go on with after a restart. */
export async function documentsInTheWay(client: MongoClient): Promise<readonly string[]> {
  const config = client.db('config');
  const lines = await Promise.all(
    Object.entries(traces).map(async ([name, { what, filter = {} }]) => {
      const documents = await config.collection(name).find(filter).limit(5).toArray();
      return documents.map((d) => `${what}${subjectOf(d)} (config.${name})`);
    }),
  );
  return lines.flat();
}

function subjectOf(document: Document): string {
  const id: unknown = document['_id'];
  const namespace: unknown =
    document['nss'] ??
    document['ns'] ??
    (typeof id === 'object' && id !== null ? (id as Document)['namespace'] : null);
  return typeof namespace === 'string' ? ` of ${namespace}` : '';
}

async function fcvInTheWay(client: MongoClient): Promise<readonly string[]> {
  const fcv = await client
    .db('admin')
    .collection<Document & { _id: string }>('system.version')
    .findOne({ _id: 'featureCompatibilityVersion' });
  return fcv?.['targetVersion'] === undefined
    ? []
    : [`a change of the feature compatibility version to ${String(fcv['targetVersion'])}`];
}

/** Work under way; through mongos on every shard, unless `localOps`. */
export async function operationsInTheWay(client: MongoClient, localOps: boolean): Promise<readonly string[]> {
  const found = await client
    .db('admin')
    .aggregate([
      { $currentOp: { allUsers: true, idleSessions: true, ...(localOps ? {} : { localOps: false }) } },
    ])
    .toArray();
  return found.flatMap((op) => {
    const what = operationInTheWay(op);
    if (what === null) return [];
    const shard = typeof op['shard'] === 'string' ? ` on ${op['shard']}` : '';
    const client = typeof op['client'] === 'string' ? `, client ${op['client']}` : '';
    const app = typeof op['appName'] === 'string' ? ` ${JSON.stringify(op['appName'])}` : '';
    return [`${what}${shard}${client}${app}`];
  });
}

/** Names as `$currentOp` of 6.0 and 7.0 was seen to show them. */
function operationInTheWay(op: Document): string | null {
  const desc = String(op['desc'] ?? '');
  const command = Object.keys((op['command'] as Document | undefined) ?? {})[0] ?? '';
  const namespace = typeof op['ns'] === 'string' && op['ns'] !== '' ? ` of ${op['ns']}` : '';
  if (
    /^(migrateThread|MigrationCoordinator)$/.test(desc) ||
    /^(_\w+M|m)ove(Range|Chunk|Primary)$/.test(command)
  )
    return `a migration${namespace}`;
  if (/^Reshard/.test(desc)) return `a resharding${namespace}`;
  if (/Coordinator$/.test(desc) && op['type'] === 'op') return `a DDL operation${namespace} (${desc})`;
  if (command === 'setFeatureCompatibilityVersion') return 'a change of the feature compatibility version';
  if (String(op['msg'] ?? '').startsWith('Index Build') || command === 'createIndexes')
    return `an index build${namespace}`;
  if (op['twoPhaseCommitCoordinator']) return 'the commit of a cross-shard transaction';
  const transaction = op['transaction'] as Document | undefined;
  // Retryable writes carry a number without autocommit: they are no transactions.
  if (transaction && (transaction['parameters'] as Document | undefined)?.['autocommit'] === false)
    return transaction['timePreparedMicros'] === undefined ? 'an open transaction' : 'a prepared transaction';
  return null;
}
