import { existsSync, readFileSync } from 'node:fs';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { MongoClient } from 'mongodb';
import { createMongodbActivities } from '../../activities/mongodb/activities.ts';
import { openCopy, openScratch } from '../../activities/mongodb/open-copy.ts';
import { createStoreActivities } from '../../activities/stores/activities.ts';
import { DEFAULT_DRILL_MEMORY_BYTES } from '../../config/schema/drill.ts';
import { judgeChecks } from '../../model/drill.ts';
import type { Drilled } from '../../model/activities.ts';
import type { MongodbSetRecord, Proof, SetRef } from '../../model/manifest.ts';
import type { Argv, DrillCheck, MongodbEngine, Site } from '../../model/site.ts';
import {
  as,
  createBackupUser,
  database,
  host,
  nativeMongod,
  siteOf,
  startTestSet,
} from '../mongodb/fixture.ts';
import { folderOf } from '../stores/support.ts';
import { freePort } from '../support/ports.ts';
import { createCleanup, waitFor } from '../support/processes.ts';
import { createRig, type Rig } from './rig.ts';

const documents = 500;
const cleanup = createCleanup();

let folder: string;
let site: Site;
let rig: Rig;
let record: MongodbSetRecord;
/** A member's files, at rest. */
let data: string;
/** The same as a standalone server, to be changed before it is copied. */
let standalone: string;

/** A replica set with data, marked, fingerprinted on a secondary, its primary stopped: as the copy of a night finds it. */
beforeAll(async () => {
  folder = await cleanup.folder();
  for (const name of ['store', 'scratch']) await mkdir(join(folder, name));
  const replicas = await startTestSet();
  cleanup.add(() => replicas.stop());
  await createBackupUser(replicas.uri, ['coldbackupMember'], { members: 3 });
  const base = await siteOf(folder, { members: replicas.members });
  const engine = base.databases[database]?.engine as MongodbEngine;
  site = {
    ...base,
    databases: { [database]: { usedBy: [], engine: { ...engine, mongod: nativeMongod as unknown as Argv } } },
    stores: { vault: { kind: 'directory', directory: join(folder, 'store'), shared: true, keeper: host } },
    drill: {
      // For other databases, of another release.
      ...{ scratch: join(folder, 'scratch'), mongod: ['echo', 'db version v4.4.1'], checks },
      memoryBytes: DEFAULT_DRILL_MEMORY_BYTES,
    },
  };
  rig = createRig(site);
  const primary = await replicas.primary();
  const ask = createMongodbActivities({ site, host, heartbeat: () => undefined, signal: () => never });
  await as(primary.uri, async (_, client) => {
    const orders = client.db('shop').collection('orders');
    await orders.insertMany(
      Array.from({ length: documents }, (__, n) => ({ n, state: n % 2 === 0 ? 'open' : 'done' })),
    );
    await client
      .db('shop')
      .command({ createIndexes: 'orders', indexes: [{ key: { n: 1 }, name: 'n_1', unique: true }] });
    await client
      .db('shop')
      .collection('meta')
      .insertOne({ schema: 12 }, { writeConcern: { w: 3 } });
  });
  const input = { site: 'test', database, member: primary.name };
  const { marker } = await ask.mongodbMark({ ...input, note: 'a test' });
  const other = replicas.members.find(({ name }) => name !== primary.name)?.name ?? '';
  const fingerprint = await ask.mongodbFingerprint({ ...input, member: other, marker });
  const info = await ask.mongodbDescribe(input);
  await replicas.stopMember(primary);
  data = primary.dataDir;
  record = {
    ...info,
    set: 'rs',
    role: 'replica-set',
    member: primary.name,
    artifact: '',
    marker,
    fingerprint,
  };
  standalone = join(folder, 'standalone');
  const opened = await openCopy({
    ...{ archiveDir: data, scratchDir: standalone, command: nativeMongod, port: await freePort(), marker },
  });
  await opened.stop();
});
afterAll(cleanup.run);

const checks: readonly DrillCheck[] = [
  { database, db: 'shop', collection: 'orders', expect: { kind: 'count', count: documents } },
  {
    database,
    db: 'shop',
    collection: 'orders',
    filter: { state: 'open' },
    expect: { kind: 'at-least', count: 250 },
  },
  { database, db: 'shop', collection: 'meta', expect: { kind: 'field', field: 'schema', is: 12 } },
];

describe('a set of a member that stopped at its marker', () => {
  let set: SetRef;
  beforeAll(async () => {
    set = (await rig.publish({ ...record }, data)).set;
  });

  test('is proven: opened by the mongod of its database, its oplog replayed, its fingerprint the same, the checks answered', async () => {
    const { problems, notCompared, artifacts, answers } = await rig.drills().drillSet(rig.where(set));
    expect({ problems, notCompared }).toEqual({ problems: [], notCompared: [] });
    expect(artifacts).toMatchObject([{ database, host, server: record.version }]);
    expect(artifacts[0]?.tookMs.open).toBeGreaterThan(0);
    expect(judgeChecks(answers).map(({ passed, found }) => [passed, found])).toEqual([
      [true, `found ${documents}`],
      [true, 'found 250'],
      [true, 'found 1, of which 1 have it'],
    ]);
    expect(await rig.left()).toEqual([]);
  });

  test('is opened where there is no network: the server has the loopback alone, and listens on no port', async () => {
    const seen: string[] = [];
    await rig
      .drills({
        onProgress: ({ phase }) => {
          if (phase !== 'compare') return;
          const [pid = ''] = rig.scratchServers();
          seen.push(interfacesOf(pid).join(), readFileSync(`/proc/${pid}/net/tcp`, 'utf8').trim());
          expect(interfacesOf('self').length).toBeGreaterThan(1);
        },
      })
      .drillSet(rig.where(set));
    expect(seen[0]).toBe('lo');
    expect(seen[1]?.split('\n')).toHaveLength(1);
  });

  test('is left alone while a run holds the host, and a run that claims it ends the drill', async () => {
    const claim = { procedure: 'nightly', night: '2026-11-21' };
    await expect(rig.drills({ claim: () => claim }).drillSet(rig.where(set))).rejects.toThrow(
      'is held by nightly',
    );
    let now: typeof claim | null = null;
    const given = rig.drills({
      claim: () => now,
      onProgress: ({ phase }) => {
        if (phase === 'open') now = claim;
      },
    });
    await expect(given.drillSet(rig.where(set))).rejects.toThrow('is held by nightly of 2026-11-21');
    expect(await rig.left()).toEqual([]);
  });

  test('leaves no server and no folder when it is cancelled', async () => {
    const cancel = new AbortController();
    const cancelled = rig.drills({
      signal: cancel.signal,
      onProgress: ({ phase }) => {
        if (phase === 'compare') cancel.abort(new Error('cancelled by a test'));
      },
    });
    await expect(cancelled.drillSet(rig.where(set))).rejects.toThrow('cancelled by a test');
    expect(await rig.left()).toEqual([]);
  });

  test('leaves no server when the agent is killed, and no folder once it is started again', async () => {
    const files = { site: join(folder, 'site.json'), input: join(folder, 'input.json') };
    await writeFile(files.site, JSON.stringify(site));
    await writeFile(files.input, JSON.stringify(rig.where(set)));
    const logFile = join(folder, 'agent.log');
    const command = [process.execPath, 'test/drill/drill-once.mjs', files.site, host, files.input];
    const agent = await cleanup.start(command, { logFile });
    await waitFor(() => rig.scratchServers().length > 0, { what: 'the scratch server', withinMs: 60_000 });
    agent.kill('SIGKILL');
    await waitFor(() => rig.scratchServers().length === 0, {
      what: 'the scratch server to die',
      withinMs: 10_000,
    });
    expect(existsSync(join(folder, 'scratch', 'coldbackup', 'test', host))).toBe(true);
    expect((await rig.drills().drillSet(rig.where(set))).problems).toEqual([]);
    expect(await rig.left()).toEqual([]);
  });

  test('that another release wrote is opened by none, and says which is needed, for which database', async () => {
    const other = await rig.publish({ ...record, version: '5.0.3' }, data);
    await expect(rig.drills().drillSet(rig.where(other.set))).rejects.toThrow(
      /written by mongod 5\.0\.3.*of vitam-mongo is \d.*of drill is 4\.4\.1.*name one of 5\.0 as mongod of vitam-mongo/,
    );
  });

  test('whose oplog ends before the marker is not proven', async () => {
    const late = { ts: `${Number(record.marker?.ts.split(',')[0]) + 60},1`, term: record.marker?.term ?? 1 };
    const { set: of } = await rig.publish({ ...record, marker: late }, data);
    expect((await rig.drills().drillSet(rig.where(of))).problems[0]).toContain(
      `before the marker ${late.ts}`,
    );
  });
});

describe('a drill notices', () => {
  const changes: [string, (client: MongoClient) => Promise<unknown>, string][] = [
    [
      'one changed document',
      (client) =>
        client
          .db('shop')
          .collection('orders')
          .updateOne({ n: 7 }, { $set: { state: 'dome' } }),
      'shop.orders has other documents',
    ],
    [
      'one missing index',
      (client) => client.db('shop').collection('orders').dropIndex('n_1'),
      'shop.orders has another UUID, other options or other indexes',
    ],
    [
      'one document less',
      (client) => client.db('shop').collection('orders').deleteOne({ n: 7 }),
      'shop.orders has other documents',
    ],
    ['a missing collection', (client) => client.db('shop').dropCollection('meta'), 'shop.meta is missing'],
  ];
  test.each(changes)('%s', async (what, change, words) => {
    const changed = join(folder, what.replaceAll(' ', '-'));
    await cp(standalone, changed, { recursive: true });
    const opened = await openScratch({
      ...{ scratchDir: changed, command: nativeMongod, listen: { port: await freePort() }, marker: null },
    });
    await as(opened.uri, (_, client) => change(client));
    await opened.stop();
    const { set } = await rig.publish({ ...record, marker: null }, changed);
    const { problems, answers } = await rig.drills().drillSet(rig.where(set));
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(words);
    if (what === 'one document less')
      expect(judgeChecks(answers)[0]).toMatchObject({ passed: false, found: `found ${documents - 1}` });
  });

  test('that a set has no fingerprint, and then what the server itself finds', async () => {
    const { set } = await rig.publish(
      { ...record, marker: null, fingerprint: { none: 'it moves' } },
      standalone,
    );
    const { problems, notCompared } = await rig.drills().drillSet(rig.where(set));
    expect(problems).toEqual([]);
    expect(notCompared[0]).toContain('fingerprint: none (it moves)');
  });

  test.each(['the archive', 'the list of its files'])('one flipped bit in %s', async (where) => {
    const { set, artifacts } = await rig.publish({ ...record }, data);
    const { name = '', fileList } = artifacts[0] ?? {};
    const file = join(
      folderOf(join(folder, 'store'), set),
      where === 'the archive' ? name : (fileList?.name ?? ''),
    );
    const bytes = await readFile(file);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    await writeFile(file, bytes);
    const { problems } = await rig.drills().drillSet(rig.where(set));
    expect(problems.length).toBeGreaterThan(0);
    expect(await rig.left()).toEqual([]);
  });
});

test('a tree of files is read again from where it was restored', async () => {
  const tree = join(folder, 'tree');
  await mkdir(join(tree, 'sub'), { recursive: true });
  await writeFile(join(tree, 'sub', 'new\nline'), 'content');
  const { set } = await rig.publish(null, tree);
  const result: Drilled = await rig.drills().drillSet(rig.where(set));
  expect(result).toMatchObject({ problems: [], artifacts: [{ files: 1, server: null }] });
});

test('proofs are kept in the set, the newest first, and its summary tells the newest', async () => {
  const { set } = await rig.publish(null, join(folder, 'store-token'));
  const stores = createStoreActivities({ site, host });
  const proof = (runId: string, passed: boolean) => ({ runId, passed, at: `2026-11-2${runId}` }) as Proof;
  const listed = async () =>
    (await stores.listSets({ site: 'test', store: 'vault' })).find((one) => one.set.id === set.id);
  expect(await listed()).not.toHaveProperty('proof');
  for (const one of [proof('1', true), proof('2', false), proof('2', false)])
    await rig.drills().recordProof({ ...rig.where(set), proof: one });
  expect((await rig.drills().readProofs(rig.where(set))).map(({ runId }) => runId)).toEqual(['2', '1']);
  expect(await listed()).toMatchObject({ proof: { at: '2026-11-22', passed: false } });
});

const never = new AbortController().signal;

function interfacesOf(pid: string): readonly string[] {
  return [...readFileSync(`/proc/${pid}/net/dev`, 'utf8').matchAll(/^ *(\S+):/gm)].map(
    ([, name = '']) => name,
  );
}
