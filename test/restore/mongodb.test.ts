import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startCopiedSet, writeCopySite, type CopiedSet } from '../../bench/copy-rig.ts';
import type { Document } from 'mongodb';
import { fingerprintOf } from '../../activities/mongodb/fingerprint.ts';
import { createUnitServers } from '../../demo/cluster.ts';
import { deploy } from '../../demo/local/mongodb/deployment.ts';
import { describeSet } from '../../demo/local/mongodb/replica-set.ts';
import { servicectl } from '../../demo/services/supervised.ts';
import type { Member } from '../support/mongodb.ts';
import type { Report } from '../../model/progress.ts';
import { startAll, type Running } from '../cli/coldbackup.ts';
import { as, backup, nativeMongod, reconfigure, uriOf } from '../mongodb/fixture.ts';
import { createCleanup, waitFor, type Cleanup } from '../support/processes.ts';
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
  /** While this file is there, a member looks as if it had been started once its data lies aside. */
  let restless: string;

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
    await as(one.set.uri, (admin) =>
      admin.command({ createUser: backup.user, pwd: backup.password, roles: ['root'] }),
    );
    site = await writeCopySite(cleanup, [one, alone]);
    restless = join(await cleanup.folder(), 'restless');
    makeRestless(site.file, one.set.members.at(-1), restless);
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

  test('says no to a set of another release or another set, and what is different besides; nothing is changed', async () => {
    await forged((text) => text.replace(/"version": "6\.0\./, '"version": "5.0.'))(
      'the set was written by 5.0.',
      3,
    );
    await forged((text) => text.replace(`"_id": "${database}"`, '"_id": "other"'))('replica set other', 3);
    const [member] = one.set.members;
    const elsewhere = { from: `"host": "${member?.name ?? ''}"`, to: '"host": "10.0.0.9:27017"' };
    await forged((text) => text.replace(elsewhere.from, elsewhere.to))('becomes a replica set of', 0);
    await forged((text) => text.replace('"fcv": "6.0"', '"fcv": "5.0"'))('was 5.0 when the set was taken', 0);
    await forged((text) => text.replaceAll('"arch": "', '"arch": "not-'))('was written by one for not-', 0);
    await forged((text) => text.replace('"format": 1', '"format": 2'))('no set', 2);
  });

  test('that fails once all data lies aside brings back exactly the documents that were there, on healthy members', async () => {
    await one.set.untilHealthy();
    const before = await contents();
    writeFileSync(restless, '');
    const wanted = ['restore', 'copies', set, '--yes', '--why', 'a test', '--wait', '--json'];
    const { code, stdout } = await all.coldbackup(...wanted);
    rmSync(restless);
    const report = JSON.parse(stdout) as Report;
    expect([code, report.outcome]).toEqual([1, 'failed']);
    expect(report.reason).toMatch(/mongod-\d+ on db-1 was started during the copy/);
    const targets = one.set.members.map(({ name }) => ({ member: name, aside: [] }));
    expect(report.restore).toMatchObject({ committed: false, compared: [], targets });
    expect(report.notBack).toEqual([]);
    await one.set.untilHealthy();
    expect(await contents()).toEqual(before);
    expect(beside()).toEqual(one.set.members.map(({ dataDir }) => basename(dataDir)).sort());
  }, 120_000);

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

  test('of one member is refused where it would lose data or could not catch up, before anything is stopped', async () => {
    const [first, second] = await secondaries();
    const no = async (member: string, words: string) => {
      const said = await all.coldbackup('restore', 'copies', set, '--member', member, '--plan');
      expect([said.code, said.stdout + said.stderr]).toEqual([3, expect.stringContaining(words)]);
    };
    await no((await one.set.primary()).name, 'is the primary of the set');
    const name = first?.name ?? '';
    const other = /("marker": \{\s*"ts": )"[^"]*"/;
    await forged((text) => text.replace(other, '$1"1700000000,1"'))('not in its oplog', 3, '--member', name);
    const id = /("replicaSetId": \{\s*"\$oid": )"[^"]*"/;
    await forged((text) => text.replace(id, '$1"0123456789abcdef01234567"'))(
      'another replica set than the copy',
      3,
      ...['--member', name],
    );
    if (second === undefined) throw new Error('the set has one secondary only');
    await one.set.stopMember(second);
    // The others notice by a heartbeat, every 2 s.
    const primary = await one.set.primary();
    await waitFor(
      () =>
        as(primary.uri, async (admin) => {
          const { members } = (await admin.command({ replSetGetStatus: 1 })) as unknown as {
            members: readonly { readonly name: string; readonly health: number }[];
          };
          return members.find((member) => member.name === second.name)?.health === 0;
        }),
      { what: `${second.name} to be seen down`, withinMs: 30_000 },
    );
    await no(name, 'its set would lose its majority');
    const unknown = await all.coldbackup('restore', 'copies', set, '--member', '127.0.0.1:1', '--plan');
    expect(unknown).toMatchObject({ code: 2, stderr: expect.stringContaining('names no member') });
    await one.set.startMember(second);
    await one.set.untilHealthy();
  }, 120_000);

  test('of one member whose disk was lost puts the copy of its set there, starts it, and it has what the others have', async () => {
    const [lost] = await secondaries();
    if (lost === undefined) throw new Error('the set has no secondary');
    await one.set.stopMember(lost);
    rmSync(lost.dataDir, { recursive: true });
    await as((await one.set.primary()).uri, (_, client) =>
      client
        .db('shop')
        .collection('orders')
        .insertOne({ n: documents + 1 }, { writeConcern: { w: 2 } }),
    );
    const report = await restore(set, { more: ['--member', lost.name] });
    expect(report.restore).toMatchObject({
      committed: true,
      targets: [{ member: lost.name, aside: [] }],
      compared: [{ text: expect.stringMatching(/^not compared, as its set went on: .* has caught up with/) }],
    });
    expect(report.services).toMatchObject([
      { service: `mongod-${lost.port}`, found: 'stopped', started: true },
    ]);
    await one.set.untilHealthy();
    const count = (uri: string, filter: Document) =>
      as(uri, (_, client) => client.db('shop').collection('orders').countDocuments(filter));
    expect(await count(lost.uri, { n: documents + 1 })).toBe(1);
    expect(await count(lost.uri, {})).toBe(await count((await one.set.primary()).uri, {}));
  }, 120_000);

  test('of a replica set whose members the site file names otherwise makes one of these, with its users', async () => {
    const spare = await startSpares(cleanup);
    const elsewhere = await writeCopySite(cleanup, [spare]);
    // The sets of the site that was lost lie in its store.
    const text = readFileSync(elsewhere.file, 'utf8').replaceAll(elsewhere.store, site.store);
    writeFileSync(elsewhere.file, text);
    for (const { port } of spare.set.members)
      writeFileSync(join(dirname(elsewhere.sites), `${port}.uri`), `${uriOf({ port } as Member, backup)}\n`);
    const there = await startAll(cleanup, elsewhere);
    const names = spare.set.members.map(({ name }) => name);
    const planned = await there.coldbackup('restore', 'copies', set, '--plan');
    expect([planned.code, planned.stdout]).toEqual([
      0,
      expect.stringContaining(`orders becomes a replica set of ${names.join(', ')}, as the site file names`),
    ]);
    const report = await restore(set, { by: there });
    expect(report.restore?.compared).toEqual([
      { database, text: expect.stringMatching(/^fingerprint passed, asked of/) },
    ]);
    for (const member of spare.set.members)
      await as(`${uriOf(member, backup)}&directConnection=true`, async (admin, client) => {
        expect(await client.db('shop').collection('orders').countDocuments()).toBe(documents);
        const { config } = (await admin.command({ replSetGetConfig: 1 })) as unknown as { config: Config };
        expect(config.members.map((one) => one.host)).toEqual(names);
        expect(config.settings.replicaSetId).not.toEqual(await setIdNow());
      });
    await as(
      `mongodb://${backup.user}:${encodeURIComponent(backup.password)}@${names.join(',')}/?authSource=admin&replicaSet=orders`,
      (_, client) =>
        client
          .db('shop')
          .collection('orders')
          .insertOne({ n: -2 }, { writeConcern: { w: 2, wtimeoutMS: 30_000 } }),
    );
  }, 120_000);

  test('of a standalone server puts its documents back; what could not be compared is said, and what differs fails it', async () => {
    const of = await backUp('alone');
    const { uri } = alone.set;
    await as(uri, (_, client) => client.db('shop').collection('bills').deleteMany({}));
    const report = await restore(of);
    expect(report.restore).toMatchObject({
      committed: true,
      compared: [{ database: 'alone', text: expect.stringContaining('not compared: no other member') }],
    });
    expect(report.warnings).toContainEqual(expect.stringContaining('alone was not compared with the set'));
    const holdsTwo = () =>
      as(uri, async (_, client) =>
        expect(await client.db('shop').collection('bills').countDocuments()).toBe(2),
      );
    await holdsTwo();

    const file = join(site.store, 'copies', 'alone', of, 'manifest.json');
    const text = readFileSync(file, 'utf8');
    const print = (await as(uri, (_, client) => fingerprintOf(client))) as { databases: { shop: object } };
    const bills = { ...print, databases: { shop: { bills: 'other documents' } } };
    const none = /"fingerprint": \{\s*"none": "[^"]*"\s*\}/;
    writeFileSync(file, text.replace(none, `"fingerprint": ${JSON.stringify(bills)}`));
    await as(uri, (_, client) => client.db('shop').collection('bills').insertOne({ n: 3 }));
    const said = await all.coldbackup(
      'restore',
      'copies',
      of,
      '--yes',
      '--why',
      'a test',
      '--wait',
      '--json',
    );
    const differs = JSON.parse(said.stdout) as Report;
    expect([said.code, differs.outcome]).toEqual([1, 'failed']);
    expect(differs.reason).toContain('restored, and not known to be what it was at the backup');
    expect(differs.reason).toContain('shop.bills has other documents than at the backup');
    expect(differs.restore).toMatchObject({
      committed: true,
      compared: [
        { database: 'alone', text: expect.stringMatching(/^differs: shop\.bills has other documents/) },
      ],
    });
    expect(differs.notBack).toEqual([]);
    await holdsTwo();
  }, 120_000);

  /** What each member has, whichever documents these are. */
  function contents(): Promise<readonly unknown[]> {
    return Promise.all(
      one.set.members.map(({ port }) =>
        as(`mongodb://127.0.0.1:${port}/?directConnection=true`, (_, client) => fingerprintOf(client)),
      ),
    );
  }

  async function backUp(procedure: string): Promise<string> {
    const { code, stdout } = await all.coldbackup('run', 'copies', procedure, '--wait', '--json');
    const report = JSON.parse(stdout) as Report;
    expect([code, report.outcome]).toEqual([0, 'complete']);
    return report.sets[0]?.set.id ?? '';
  }

  function forged(change: (text: string) => string) {
    return async (words: string, code: number, ...more: readonly string[]): Promise<void> => {
      const file = join(site.store, 'copies', database, set, 'manifest.json');
      const text = readFileSync(file, 'utf8');
      writeFileSync(file, change(text));
      const said = await all.coldbackup('restore', 'copies', set, ...more, '--plan');
      writeFileSync(file, text);
      expect([said.code, said.stdout + said.stderr]).toEqual([code, expect.stringContaining(words)]);
    };
  }

  async function secondaries(): Promise<readonly Member[]> {
    const { port } = await one.set.primary();
    return one.set.members.filter((member) => member.port !== port);
  }

  async function setIdNow(): Promise<unknown> {
    return as(one.set.uri, async (admin) => {
      const { config } = (await admin.command({ replSetGetConfig: 1 })) as unknown as { config: Config };
      return config.settings.replicaSetId;
    });
  }

  async function restore(
    of: string,
    { more = [], by = all }: { more?: readonly string[]; by?: Running } = {},
  ): Promise<Report> {
    const wanted = ['restore', 'copies', of, ...more, '--yes', '--why', 'a test', '--wait', '--json'];
    const { code, stdout } = await by.coldbackup(...wanted);
    const report = JSON.parse(stdout) as Report;
    expect([code, report.outcome, report.reason]).toEqual([0, 'complete', null]);
    return report;
  }

  function beside(): readonly string[] {
    return readdirSync(dirname(one.set.members[0]?.dataDir ?? '')).sort();
  }
});

function makeRestless(siteFile: string, member: Member | undefined, flag: string): void {
  if (member === undefined) throw new Error('the set has no member');
  const script = `${flag}.sh`;
  const isAside = `[ -e ${flag} ] && ls -d ${member.dataDir}.before-* >&2`;
  writeFileSync(script, `#!/bin/sh\nif ${isAside}; then echo another start; else exec "$@"; fi\n`);
  chmodSync(script, 0o755);
  const instance = `instance: [${servicectl}, instance, ${dirname(member.pidFile)}]`;
  const text = readFileSync(siteFile, 'utf8');
  expect(text).toContain(instance);
  writeFileSync(siteFile, text.replace(instance, instance.replace('[', `[${script}, `)));
}

interface Config {
  readonly members: readonly { readonly host: string }[];
  readonly settings: { readonly replicaSetId: unknown };
}

/** Two servers on empty folders that ask for logins, and are members of nothing yet. */
async function startSpares(cleanup: Cleanup): Promise<CopiedSet> {
  const folder = await cleanup.folder();
  const alive = join(folder, 'alive');
  await holdAliveLock(cleanup, alive);
  const placeOf = (_: string, index: number) => {
    const place = { folder: join(folder, `unit-${index}`), dataDir: join(folder, `data-${index}`) };
    for (const path of Object.values(place)) mkdirSync(path);
    return place;
  };
  const set = await deploy(
    {
      ...{ auth: true, servers: createUnitServers(alive), placeOf },
      parameters: ['shutdownTimeoutMillisForSignaledShutdown=500'],
    },
    async (deployment) => {
      const described = await describeSet(deployment, { mongod: nativeMongod, name: database, size: 2 });
      await Promise.all(described.members.map((member) => deployment.servers.start(member)));
      return described;
    },
  );
  cleanup.add(() => set.stop());
  return { database, set, copyBy: 'stream' };
}

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
