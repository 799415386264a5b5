import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MongoClient, type Db, type Document } from 'mongodb';
import { locate } from '#components';
import { createUnitServers } from '../demo/cluster.ts';
import type { Cleanup } from '../demo/local/cleanup.ts';
import { sendSignal } from '../demo/local/processes.ts';
import { startReplicaSet } from '../demo/local/mongodb/replica-set.ts';
import { waitFor } from '../demo/local/wait.ts';
import { databaseHost, placeOf } from './site.ts';

export type MemberService = `mongod-${number}`;

/** What is copied instead of a tree: its servers run under the service manager of the other services, on one host. */
export interface ChaosMongodb {
  readonly database: string;
  /** Its members. */
  readonly services: readonly MemberService[];
  /** What the site file says of it. */
  readonly inSiteFile: string;
  /** What is not healthy, or not as it was found: members, the settings of the balancer. null: nothing. */
  trouble(): Promise<string | null>;
  readonly set: SetFaults | null;
  readonly balancer: BalancerFaults | null;
}

export interface SetFaults {
  /** Of whom the members say that it is elected. */
  primary(): Promise<MemberService>;
  /** The primary steps down, and another is elected. @returns it. */
  elect(): Promise<MemberService>;
  kill(service: MemberService): void;
  /**
   * From now on whoever asks a member to describe itself waits: right after the primary was looked up.
   * @returns whether somebody does now, and what lets all go on.
   */
  holdDescribe(): Promise<{ isHeld(): boolean; letGo(): Promise<void> }>;
}

export interface BalancerFaults {
  /** Returns when it is in a round that does not end: a migration that it began hangs. */
  hang(): Promise<void>;
  /** It was asked to stop, and is in that round still. */
  isAskedInVain(): Promise<boolean>;
  /** Returns when it is idle. */
  goOn(): Promise<void>;
}

const shopDocuments = 4_000;
/** Long enough for an election. */
const describeWaitsMs = 6_000;

export async function startShop(cleanup: Cleanup, folder: string, alive: string): Promise<ChaosMongodb> {
  const mongod = locate('mongod-native')?.command;
  if (mongod === undefined)
    throw new Error('no native mongod. What to do: node scripts/setup.mjs mongodb-native');
  const serviceOf = (index: number): MemberService => `mongod-${index + 1}`;
  const set = await startReplicaSet({
    mongod: [...mongod, '--setParameter', 'enableTestCommands=1'],
    ...{ name: 'shop', members: 3, servers: createUnitServers(alive) },
    parameters: ['shutdownTimeoutMillisForSignaledShutdown=500'],
    placeOf: (_, index) => {
      const dataDir = join(folder, 'data', serviceOf(index));
      const place = placeOf(folder, serviceOf(index));
      for (const made of [dataDir, place]) mkdirSync(made, { recursive: true });
      return { folder: place, dataDir };
    },
  });
  cleanup.add(() => set.stop());
  await fill(set.uri);

  const clients = new Map(
    set.members.map(({ name, uri }) => [
      name,
      new MongoClient(uri, { serverSelectionTimeoutMS: 500, connectTimeoutMS: 500, socketTimeoutMS: 70_000 }),
    ]),
  );
  cleanup.add(() => Promise.all([...clients.values()].map((client) => client.close())));
  const onAll = <T>(ask: (admin: Db) => Promise<T>) =>
    Promise.all([...clients.values()].map((client) => ask(client.db('admin'))));
  const primary = async (): Promise<MemberService> => {
    const said = await onAll((admin) => admin.command({ hello: 1 }));
    const index = said.findIndex((hello) => hello['isWritablePrimary'] === true);
    if (index < 0) throw new Error('shop has no primary now');
    return serviceOf(index);
  };
  const adminOf = (service: MemberService): Db => {
    const name = set.members[Number(service.split('-')[1]) - 1]?.name ?? '';
    const client = clients.get(name);
    if (client === undefined) throw new Error(`no client of ${service}`);
    return client.db('admin');
  };
  const names = set.members.map(({ name }) => name).sort();
  for (const { port } of set.members)
    writeFileSync(join(folder, `${port}.uri`), `mongodb://127.0.0.1:${port}/\n`, { mode: 0o600 });

  return {
    database: 'shop',
    services: set.members.map((_, index) => serviceOf(index)),
    inSiteFile: `    mongodb:
      members:
${set.members.map(({ name, port, dataDir }, index) => `        "${name}": { host: ${databaseHost}, service: ${serviceOf(index)}, data: ${dataDir}, uri: { file: ${join(folder, `${port}.uri`)} } }`).join('\n')}`,
    trouble: async () => {
      try {
        const seen = await onAll((admin) => admin.command({ replSetGetStatus: 1 }));
        for (const status of seen) {
          const members = status['members'] as readonly Document[];
          if (
            JSON.stringify(members.map((member) => String(member['name'])).sort()) !== JSON.stringify(names)
          )
            return `shop has not the members that it had: ${members.map((member) => String(member['name'])).join(', ')}`;
          const states = members.map((member) => String(member['stateStr'])).sort();
          if (states.join() !== 'PRIMARY,SECONDARY,SECONDARY') return `shop is ${states.join(', ')}`;
        }
        return null;
      } catch (error) {
        return `shop does not answer: ${error instanceof Error ? error.message : String(error)}`;
      }
    },
    balancer: null,
    set: {
      primary,
      elect: async () => {
        const before = await primary();
        await adminOf(before).command({ replSetStepDown: 20, secondaryCatchUpPeriodSecs: 5 });
        return waitFor(
          async () => {
            const now = await primary();
            return now !== before && now;
          },
          { what: 'another primary', withinMs: 20_000 },
        );
      },
      kill: (service) => {
        const pid = Number(readFileSync(placeOf(folder, service, 'pid'), 'utf8'));
        if (!sendSignal(pid, 'SIGKILL')) throw new Error(`${service} does not run`);
      },
      holdDescribe: async () => {
        const data = {
          ...{ failCommands: ['buildInfo'], appName: 'coldbackup' },
          ...{ blockConnection: true, blockTimeMS: describeWaitsMs },
        };
        let held = false;
        const watch = async (admin: Db) => {
          const { count } = await admin.command({
            configureFailPoint: 'failCommand',
            mode: 'alwaysOn',
            data,
          });
          const timesEntered = Number(count) + 1;
          void admin.command({ waitForFailPoint: 'failCommand', timesEntered, maxTimeMS: 60_000 }).then(
            () => (held = true),
            () => undefined,
          );
        };
        await onAll(watch);
        return {
          isHeld: () => held,
          letGo: async () => {
            const off = { configureFailPoint: 'failCommand', mode: 'off' };
            // One that has died meanwhile has none any more.
            await onAll((admin) => admin.command(off).catch(() => undefined));
          },
        };
      },
    },
  };
}

async function fill(uri: string): Promise<void> {
  const client = await MongoClient.connect(uri);
  try {
    const orders = Array.from({ length: shopDocuments }, (_, n) => ({ n, text: `${n} `.repeat(100) }));
    await client
      .db('shop')
      .collection('orders')
      .insertMany(orders, { writeConcern: { w: 3 } });
  } finally {
    await client.close();
  }
}
