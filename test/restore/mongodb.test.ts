import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startCopiedSet, writeCopySite, type CopiedSet } from '../../bench/copy-rig.ts';
import { createUnitServers } from '../../demo/cluster.ts';
import { deploy } from '../../demo/local/mongodb/deployment.ts';
import { describeSet } from '../../demo/local/mongodb/replica-set.ts';
import type { Report } from '../../model/progress.ts';
import { startAll, type Running } from '../cli/coldbackup.ts';
import { as, nativeMongod, reconfigure } from '../mongodb/fixture.ts';
import { createCleanup, type Cleanup } from '../support/processes.ts';
import { holdAliveLock } from '../../demo/local/alive-lock.ts';

const documents = 2_000;
const database = 'orders';

/** Real servers, a set made by a real night, restored by the command line. */
describe('coldbackup restore of MongoDB', () => {
  const cleanup = createCleanup();
  afterAll(cleanup.run);
  let one: CopiedSet;
  let alone: CopiedSet;
  let site: Awaited<ReturnType<typeof writeCopySite>>;
  let all: Running;
  let set: string;

  beforeAll(async () => {
    const data = await cleanup.folder();
    const dataIn = (index: number): string => {
      mkdirSync(join(data, `member-${index}`));
      return join(data, `member-${index}`);
    };
    [one, alone] = await Promise.all([
      startCopiedSet(cleanup, { database, members: 3, copyBy: 'auto', dataIn }),
      startStandalone(cleanup),
    ]);
    await as(alone.set.uri, (_, client) =>
      client
        .db('shop')
        .collection('bills')
        .insertMany([{ n: 1 }, { n: 2 }]),
    );
    // What waits for an election waits 10 s by default.
    await reconfigure(one.set, (config) => (config['settings'] = { electionTimeoutMillis: 2_000 }));
    await as(one.set.uri, async (_, client) => {
      const orders = client.db('shop').collection('orders');
      await client
        .db('shop')
        .command({ createIndexes: 'orders', indexes: [{ key: { n: 1 }, name: 'by_n' }] });
      await orders.insertMany(
        Array.from({ length: documents }, (__, n) => ({ n, text: 'x'.repeat(200) })),
        { writeConcern: { w: 'majority' } },
      );
    });
    site = await writeCopySite(cleanup, [one, alone]);
    all = await startAll(cleanup, site);
    set = await backUp(database);
    await as(one.set.uri, async (_, client) => {
      const shop = client.db('shop');
      await shop.collection('orders').deleteMany({ n: { $lt: 500 } });
      await shop.collection('orders').updateMany({ n: { $lt: 1_000 } }, { $set: { text: 'changed' } });
      await shop.collection('orders').insertMany(Array.from({ length: 100 }, () => ({ n: -1 })));
      await shop.collection('orders').dropIndex('by_n');
      await shop.collection('later').insertOne({}, { writeConcern: { w: 3 } });
    });
  }, 180_000);

  test('says no to a set of another release or another set, and nothing is changed', async () => {
    const forged = (change: (text: string) => string) => async (words: string, code: number) => {
      const file = join(site.store, 'copies', database, set, 'manifest.json');
      const text = readFileSync(file, 'utf8');
      writeFileSync(file, change(text));
      const said = await all.coldbackup('restore', 'copies', set, '--plan');
      writeFileSync(file, text);
      expect([said.code, said.stdout + said.stderr]).toEqual([code, expect.stringContaining(words)]);
    };
    await forged((text) => text.replace(/"version": "6\.0\./, '"version": "5.0.'))(
      'the set was written by 5.0.',
      3,
    );
    await forged((text) => text.replace(`"_id": "${database}"`, '"_id": "other"'))('replica set other', 3);
    const [member] = one.set.members;
    const elsewhere = { from: `"host": "${member?.name ?? ''}"`, to: '"host": "10.0.0.9:27017"' };
    await forged((text) => text.replace(elsewhere.from, elsewhere.to))('to the same members only', 2);
    await forged((text) => text.replace('"format": 1', '"format": 2'))('no set', 2);
  });

  test('puts exactly the acknowledged documents of the set on every member, which are healthy; and compares', async () => {
    const report = await restore(set);
    expect(report.restore?.compared).toEqual([
      { database, text: expect.stringMatching(/^fingerprint passed, asked of 127\.0\.0\.1:\d+$/) },
    ]);
    await one.set.untilHealthy();
    for (const { port } of one.set.members)
      await as(`mongodb://127.0.0.1:${port}/?directConnection=true`, async (_, client) => {
        const shop = client.db('shop');
        const orders = shop.collection('orders');
        expect(await orders.countDocuments()).toBe(documents);
        expect(await orders.countDocuments({ text: 'x'.repeat(200), n: { $gte: 0 } })).toBe(documents);
        expect((await orders.listIndexes().toArray()).map(({ name }) => name as string)).toContain('by_n');
        expect(await shop.listCollections({ name: 'later' }).toArray()).toEqual([]);
      });
    const aside = report.restore?.targets.flatMap((target) => target.aside) ?? [];
    expect(aside).toHaveLength(3);
    expect(beside()).toEqual(
      [...aside, ...one.set.members.map(({ dataDir }) => dataDir)].map((path) => basename(path)).sort(),
    );
    await as(one.set.uri, (_, client) =>
      client
        .db('shop')
        .collection('orders')
        .insertOne({ n: documents }, { writeConcern: { w: 3, wtimeoutMS: 30_000 } }),
    );
    for (const path of aside) rmSync(path, { recursive: true });
  }, 120_000);

  test('of a standalone server puts its documents back; what could not be compared is said', async () => {
    const of = await backUp('alone');
    const { uri } = alone.set;
    await as(uri, (_, client) => client.db('shop').collection('bills').deleteMany({}));
    const report = await restore(of);
    expect(report.restore).toMatchObject({
      committed: true,
      compared: [{ database: 'alone', text: expect.stringContaining('not compared: no other member') }],
    });
    expect(report.warnings).toContainEqual(expect.stringContaining('alone was not compared with the set'));
    await as(uri, async (_, client) => {
      expect(await client.db('shop').collection('bills').countDocuments()).toBe(2);
    });
  });

  async function backUp(procedure: string): Promise<string> {
    const { code, stdout } = await all.coldbackup('run', 'copies', procedure, '--wait', '--json');
    const report = JSON.parse(stdout) as Report;
    expect([code, report.outcome]).toEqual([0, 'complete']);
    return report.sets[0]?.set.id ?? '';
  }

  async function restore(of: string): Promise<Report> {
    const wanted = ['restore', 'copies', of, '--yes', '--why', 'a test', '--wait', '--json'];
    const { code, stdout } = await all.coldbackup(...wanted);
    const report = JSON.parse(stdout) as Report;
    expect([code, report.outcome, report.reason]).toEqual([0, 'complete', null]);
    return report;
  }

  function beside(): readonly string[] {
    return readdirSync(dirname(one.set.members[0]?.dataDir ?? '')).sort();
  }
});

async function startStandalone(cleanup: Cleanup): Promise<CopiedSet> {
  const folder = await cleanup.folder();
  const alive = join(folder, 'alive');
  await holdAliveLock(cleanup, alive);
  const place = { folder: join(folder, 'alone'), dataDir: join(folder, 'data') };
  for (const path of Object.values(place)) mkdirSync(path);
  const set = await deploy(
    { auth: false, servers: createUnitServers(alive), placeOf: () => place },
    async (deployment) => {
      const described = await describeSet(deployment, { mongod: nativeMongod, name: 'alone', size: 1 });
      const members = described.members.map((member) => ({ ...member, command: withoutSet(member.command) }));
      await Promise.all(members.map((member) => deployment.servers.start(member)));
      return { ...described, members, uri: `mongodb://127.0.0.1:${members[0]?.port ?? 0}/` };
    },
  );
  cleanup.add(() => set.stop());
  return { database: 'alone', set, copyBy: 'stream' };
}

function withoutSet(command: readonly string[]): string[] {
  return command.filter((word, index) => word !== '--replSet' && command[index - 1] !== '--replSet');
}
