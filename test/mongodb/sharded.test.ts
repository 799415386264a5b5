import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { BSON, Long, type Db, type Document, type MongoClient } from 'mongodb';
import { createMongodbActivities } from '../../activities/mongodb/activities.ts';
import { observeBalancer, restoreBalancer, stopBalancer } from '../../activities/mongodb/balancer.ts';
import { checkMongodb } from '../../activities/mongodb/checks.ts';
import { checkGuard } from '../../activities/mongodb/guard.ts';
import { fingerprintOf } from '../../activities/mongodb/fingerprint.ts';
import { openCopy } from '../../activities/mongodb/open-copy.ts';
import { waitUntilMemberReady } from '../../activities/mongodb/readiness.ts';
import { createUnitServers } from '../../demo/cluster.ts';
import { deploy } from '../../demo/local/mongodb/deployment.ts';
import { describeCluster } from '../../demo/local/mongodb/sharded-cluster.ts';
import { defineUnit, isRunning, startUnit } from '../../demo/services/supervised.ts';
import type { Report } from '../../model/progress.ts';
import type { Site } from '../../model/site.ts';
import { coldbackupAt, startAll, type Coldbackup } from '../cli/coldbackup.ts';
import type { Member, Running, ShardedCluster } from '../support/mongodb.ts';
import { freePort } from '../support/ports.ts';
import { commandOf } from '../support/programs.ts';
import { createCleanup, waitFor } from '../support/processes.ts';
import { holdAlive, writeClusterSite, type ClusterSite } from './cluster-site.ts';
import {
  as,
  createBackupUser,
  database,
  failPoint,
  failureOf,
  host,
  mongod7,
  siteOf,
  startTestCluster,
} from './fixture.ts';

/** One member a set, as an all-in-one Vitam: what needs more members is tested on a replica set, which is quicker. */
let cluster: ShardedCluster & Running;
let folder: string;
let site: Site;
/** Of the service manager that the servers run under. */
let alive: string;
const documents = 200;
const cleanup = createCleanup();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coldbackup-test-'));
  alive = await holdAlive(cleanup);
  const servers = createUnitServers(alive);
  cluster = await startTestCluster({ shards: 2, membersPerShard: 1, configMembers: 1, servers });
  cleanup.add(() => cluster.stop());
  site = await siteOf(folder, { members: cluster.members, mongos: cluster.mongos, allow: ['set-down'] });
  await createBackupUser(cluster.uri, ['coldbackupMember', 'coldbackupRouter'], { members: 1 });
  for (const shard of cluster.shards) await createBackupUser(shard.uri, ['coldbackupMember'], { members: 1 });
  await as(cluster.uri, async (admin, client) => {
    await admin.command({ shardCollection: 'vitam.docs', key: { _id: 'hashed' } });
    const all = Array.from({ length: documents }, (_, _id) => ({ _id: _id as never, text: 'x'.repeat(50) }));
    await client.db('vitam').collection('docs').insertMany(all, { ordered: false });
  });
}, 180_000);

afterAll(async () => {
  await cleanup.run();
  await rm(folder, { recursive: true, force: true });
});

describe('the topology', () => {
  test('it has the shards, the config set, config.shards and the balancer, through mongos', async () => {
    const seen = await ask().mongodbTopology({ site: 'test', database });
    expect(seen.topology).toBe('sharded');
    expect(seen.sets.toSorted((a, b) => (a.set < b.set ? -1 : 1))).toEqual(
      [cluster.config, ...cluster.shards].map(({ name, members }) => ({
        set: name,
        role: name === 'config' ? 'config' : 'shard',
        members: members.map((m) => m.name),
        primary: members[0]?.name,
      })),
    );
    expect(seen.shards?.map((s) => s['_id'])).toEqual(['shard1', 'shard2']);
    expect(Object.keys(seen.balancer ?? {})).toContain('balancer');
  });

  test('a cluster member that the site file does not name is an error for good', async () => {
    const [missing] = cluster.members;
    const fewer = await siteOf(await newFolder(), {
      members: cluster.members.slice(1),
      mongos: cluster.mongos,
    });
    const { message, nonRetryable } = await failureOf(ask(fewer).mongodbTopology({ site: 'test', database }));
    expect(message).toContain(`the site file does not name ${missing?.name ?? ''}`);
    expect(nonRetryable).toBe(true);
  });

  test('a member that no set of the cluster knows is an error for good', async () => {
    const [first] = cluster.members;
    if (!first) throw new Error('no member');
    const stranger = { ...first, name: `${first.name}9` };
    const more = await siteOf(await newFolder(), {
      members: [...cluster.members, stranger],
      mongos: cluster.mongos,
    });
    const { message, nonRetryable } = await failureOf(ask(more).mongodbTopology({ site: 'test', database }));
    expect(message).toContain(stranger.name);
    expect(nonRetryable).toBe(true);
  });

  test('a shard that is named as if it were a replica set of its own is refused', async () => {
    const alone = await siteOf(await newFolder(), { members: cluster.shards[0]?.members ?? [] });
    const { message } = await failureOf(ask(alone).mongodbTopology({ site: 'test', database }));
    expect(message).toContain('is a shardsvr of a sharded cluster');
  });

  test('a mongos where a member is named, and the reverse, is refused', async () => {
    const [member] = cluster.members;
    if (!member) throw new Error('no member');
    const crossed = await siteOf(await newFolder(), {
      members: [{ ...member, port: cluster.mongos.port }],
      mongos: { ...cluster.mongos, port: cluster.shards[0]?.members[0]?.port ?? 0 },
    });
    expect((await failureOf(ask(crossed).mongodbTopology({ site: 'test', database }))).message).toContain(
      'leads to a mongod, not to a mongos',
    );
    expect(
      (await failureOf(ask(crossed).mongodbPrimary({ site: 'test', database, member: member.name }))).message,
    ).toContain('leads to a mongos, not to the member');
  });
});

describe('preflight', () => {
  test('the two smallest roles of the documentation are enough, and the sets lack members only', async () => {
    const rows = await checkMongodb(site, database, host);
    expect(rows.filter((r) => r.verdict !== 'go')).toEqual([]);
  });

  test('a user that was made through mongos does not exist on the shards', async () => {
    const login = { user: 'through-mongos', password: 'only' };
    await as(cluster.uri, (admin) =>
      admin.command({
        createUser: login.user,
        pwd: login.password,
        roles: ['coldbackupMember', 'coldbackupRouter'],
      }),
    );
    const routed = await siteOf(await newFolder(), {
      members: cluster.members,
      mongos: cluster.mongos,
      login,
    });
    const rows = await checkMongodb(routed, database, host);
    const refused = rows.filter((r) => r.verdict === 'no-go').map((r) => r.subject);
    const shards = cluster.shards.flatMap((s) => s.members.map((m) => `${database} ${m.name}`));
    expect(refused.toSorted()).toEqual(shards.toSorted());
    expect(rows.find((r) => r.verdict === 'no-go')?.detail).toContain(
      'Users made through mongos do not exist',
    );
  });

  test('a router that the site file does not name is a warning while it is alive', async () => {
    await as(cluster.uri, async (_, client) => {
      const routers = client.db('config').collection<Document & { _id: string }>('mongos');
      const like = { up: Long.fromNumber(1), waiting: true, mongoVersion: '7.0.11' };
      await routers.insertOne({ ...like, _id: 'stranger:27017', ping: new Date() });
      await routers.insertOne({ ...like, _id: 'gone:27017', ping: new Date(Date.now() - 3_600_000) });
      const rows = await checkMongodb(site, database, host);
      const warning = rows.find((r) => r.verdict === 'warning');
      expect(warning?.detail).toContain('stranger:27017');
      expect(warning?.detail).not.toContain('gone:27017');
      // They stay: deleting one that it has not seen alive ends a config server of 7.0.11 with a failed invariant.
    });
  });
});

describe('the balancer', () => {
  test('no settings before, none after, and it is on again', async () => {
    await changeSettings((settings) => settings.deleteMany({ _id: { $in: ['balancer', 'automerge'] } }));
    const found = await observeBalancer(site, database);
    expect(found.settings).toEqual({ balancer: null, automerge: null, autosplit: null });
    await stopBalancer(site, database, soon());
    await stopBalancer(site, database, soon());
    expect(await status()).toMatchObject({ mode: 'off', inBalancerRound: false });
    await restoreBalancer(site, database, found, soon());
    await restoreBalancer(site, database, found, soon());
    expect(await status()).toMatchObject({ mode: 'full' });
    expect(await rawSettings()).toEqual([]);
  });

  test('a window and every other setting come back exactly, types too, through a journal of JSON', async () => {
    await changeSettings((settings) =>
      settings.replaceOne(
        { _id: 'balancer' },
        {
          mode: 'full',
          stopped: false,
          activeWindow: { start: '00:00', stop: '23:59' },
          _secondaryThrottle: { w: 2 },
          _waitForDelete: true,
          note: Long.fromNumber(7),
        },
        { upsert: true },
      ),
    );
    const before = await rawSettings();
    const found = JSON.parse(JSON.stringify(await observeBalancer(site, database))) as Awaited<
      ReturnType<typeof observeBalancer>
    >;
    await stopBalancer(site, database, soon());
    expect(await rawSettings()).not.toEqual(before);
    await restoreBalancer(site, database, found, soon());
    expect(await rawSettings()).toEqual(before);
    expect(await status()).toMatchObject({ mode: 'full' });
  });

  test('a balancer that was found off stays off', async () => {
    await stopBalancer(site, database, soon());
    const found = await observeBalancer(site, database);
    await stopBalancer(site, database, soon());
    await restoreBalancer(site, database, found, soon());
    expect(await status()).toMatchObject({ mode: 'off' });
    await as(cluster.uri, (admin) => admin.command({ balancerStart: 1 }));
  });
});

/** What is under way when the gate is asked, and how the gate says it. */
const obstacles: Readonly<
  Record<
    string,
    {
      on: 'shards' | 'config';
      failPoint: string;
      start: (client: MongoClient) => Promise<unknown>;
      /** What might go on for minutes. */
      end?: (client: MongoClient) => Promise<unknown>;
      says: RegExp;
    }
  >
> = {
  'a migration': {
    on: 'shards',
    failPoint: 'moveChunkHangAtStep4',
    async start(client) {
      const chunk = await client.db('config').collection('chunks').findOne({ shard: 'shard1' });
      const bounds = [chunk?.['min'], chunk?.['max']];
      return client
        .db('admin')
        .command({ moveChunk: 'vitam.docs', bounds, to: 'shard2', _waitForDelete: true });
    },
    says: /a migration of vitam\.docs \(config\.migrationCoordinators\)/,
  },
  'a resharding': {
    on: 'config',
    failPoint: 'reshardingPauseCoordinatorBeforeBlockingWrites',
    async start(client) {
      const admin = client.db('admin');
      await admin.command({ shardCollection: 'vitam.resharded', key: { _id: 'hashed' } });
      await admin.command({ reshardCollection: 'vitam.resharded', key: { other: 1 } }).catch(ignore);
      return client.db('vitam').dropCollection('resharded');
    },
    end: (client) => client.db('admin').command({ abortReshardCollection: 'vitam.resharded' }).catch(ignore),
    says: /a resharding of vitam\.resharded \(config\.reshardingOperations\)/,
  },
  'a DDL operation': {
    on: 'shards',
    failPoint: 'hangBeforeRunningCoordinatorInstance',
    async start(client) {
      return client.db('vitam').dropCollection('gone');
    },
    says: /a DDL operation/,
  },
  'a commit across shards': {
    on: 'shards',
    failPoint: 'hangBeforeWritingDecision',
    async start(client) {
      const session = client.startSession();
      session.startTransaction();
      await client
        .db('vitam')
        .collection('docs')
        .updateMany({}, { $set: { touched: true } }, { session });
      await session.commitTransaction();
      await session.endSession();
    },
    says: /a prepared transaction.*the commit of a cross-shard transaction|the commit of a cross-shard transaction.*a prepared transaction/,
  },
  'a change of the feature compatibility version': {
    on: 'shards',
    failPoint: 'hangWhileDowngrading',
    async start(client) {
      const admin = client.db('admin');
      await admin.command({ setFeatureCompatibilityVersion: '6.0', confirm: true });
      await admin.command({ setFeatureCompatibilityVersion: '7.0', confirm: true });
    },
    says: /a change of the feature compatibility version/,
  },
};

describe('the gate', () => {
  test.each(Object.entries(obstacles))(
    '%s is named, and the gate opens when it has ended',
    async (_, obstacle) => {
      const members =
        obstacle.on === 'config' ? cluster.config.members : cluster.shards.flatMap((s) => s.members);
      await as(cluster.uri, async (_admin, client) => {
        await client.db('vitam').collection('gone').insertOne({});
        for (const member of members) await failPoint(member, obstacle.failPoint, 'alwaysOn');
        const running = obstacle.start(client);
        running.catch(() => undefined);
        try {
          await waitFor(
            async () => obstacle.says.test((await failureOf(ask().mongodbGate(gate(0)))).message),
            { what: `the gate to say ${String(obstacle.says)}`, withinMs: 30_000 },
          );
        } finally {
          for (const member of members) await failPoint(member, obstacle.failPoint, 'off');
          await obstacle.end?.(client);
        }
        await running;
        await ask().mongodbGate(gate(60_000));
      });
    },
  );

  test('a draining shard is named', async () => {
    await as(cluster.uri, async (_, client) => {
      const shards = client.db('config').collection<Document & { _id: string }>('shards');
      await shards.updateOne({ _id: 'shard2' }, { $set: { draining: true } });
      try {
        expect((await failureOf(ask().mongodbGate(gate(0)))).message).toContain('shard shard2 is draining');
      } finally {
        await shards.updateOne({ _id: 'shard2' }, { $unset: { draining: 1 } });
      }
    });
    await ask().mongodbGate(gate(60_000));
  });
});

describe('at rest', () => {
  test('routers, sessions and the stopped balancer are no writers, on any set', async () => {
    await stopBalancer(site, database, soon());
    await refreshSessions(); // The first makes their collection, once in the life of a cluster.
    const marks = await Promise.all(
      cluster.members.map(async (member) => ({ member, marker: await marked(member) })),
    );
    await refreshSessions();
    const [config] = cluster.config.members;
    await waitFor(() => pinged(config), { what: 'a ping of the router', withinMs: 60_000 });
    for (const { member, marker } of marks)
      expect(await ask().mongodbWritesSince({ site: 'test', database, member: member.name, marker })).toEqual(
        [],
      );
    await as(cluster.uri, (_, client) =>
      client
        .db('vitam')
        .collection('docs')
        .updateMany({}, { $set: { late: 1 } }),
    );
    for (const { member, marker } of marks.filter((m) => m.member.set !== 'config')) {
      const writes = await ask().mongodbWritesSince({ site: 'test', database, member: member.name, marker });
      expect(writes[0]).toContain('vitam.docs at');
    }
  });

  test('a shard that was stopped at its marker opens as a server of its own with the same fingerprint', async () => {
    const member = cluster.shards[0]?.members[0];
    if (!member) throw new Error('no shard');
    await waitFor(async () => !('none' in (await print(member))), {
      what: 'the range deleter',
      withinMs: 60_000,
    });
    const info = await ask().mongodbDescribe({ site: 'test', database, member: member.name });
    expect(info.shardIdentity).toMatchObject({ _id: 'shardIdentity', shardName: 'shard1' });
    const marker = await marked(member);
    const before = await print(member);
    const guard = { kind: 'mongodb-member', database, member: member.name, role: 'primary', marker } as const;
    expect(await checkGuard(site, guard, soon())).toBe('holds');
    expect(await cluster.stopMember(member)).toMatchObject({ code: 0 });
    const copy = await openCopy({
      archiveDir: member.dataDir,
      scratchDir: join(folder, 'shard1'),
      command: mongod7,
      port: await freePort(),
      marker,
    });
    try {
      await as(copy.uri, async (admin, client) => {
        expect(await fingerprintOf(client)).toEqual(before);
        expect(
          await client
            .db('admin')
            .collection('system.version')
            .countDocuments({ _id: 'shardIdentity' as never }),
        ).toBe(0);
        expect((await admin.command({ hello: 1 }))['setName']).toBeUndefined();
      });
    } finally {
      await copy.stop();
    }
    await cluster.startMember(member);
    await waitUntilMemberReady(site, database, member.name, { withinMs: 60_000 });
  });
});

describe('coldbackup restore of the whole set', () => {
  let here: ClusterSite;
  let coldbackup: Coldbackup;
  let set: string;
  let before: Held;
  let settingsBefore: readonly string[];

  beforeAll(async () => {
    here = await writeClusterSite(cleanup, cluster, { database, alive });
    writeFileSync(join(here.tree, 'kept.conf'), 'as it was\n');
    await as(cluster.uri, (_, client) => client.db('vitam').createCollection('alone'));
    await changeSettings(async (all) => {
      const upsert = { upsert: true };
      const balancer = { mode: 'full', stopped: false, note: Long.fromNumber(7) };
      await all.replaceOne({ _id: 'balancer' }, balancer, upsert);
      // Chunks that are merged meanwhile are others.
      await all.replaceOne({ _id: 'automerge' }, { enabled: false, note: 'off before' }, upsert);
    });
    const { server } = await startAll(cleanup, here);
    coldbackup = coldbackupAt(server.address, undefined, 280_000);
    [before, settingsBefore] = [await held(), await rawSettings()];
    const { code, stdout } = await coldbackup('run', 'cluster', 'nightly', '--wait', '--json');
    const report = JSON.parse(stdout) as Report;
    expect([code, report.outcome, report.reason]).toEqual([0, 'complete', null]);
    set = report.sets[0]?.set.id ?? '';

    writeFileSync(join(here.tree, 'kept.conf'), 'changed\n');
    await as(cluster.uri, async (admin, client) => {
      const docs = client.db('vitam').collection<{ _id: number; late?: boolean }>('docs');
      await docs.deleteMany({ _id: { $lt: 50 } });
      await docs.insertMany(Array.from({ length: 30 }, (_, n) => ({ _id: 1_000 + n, late: true })));
      await moveChunk(admin, client);
      await admin.command({ balancerStop: 1 });
    });
    expect(await held()).not.toEqual(before);
  }, 300_000);

  test('is refused where the set has other shards, and nothing is changed', async () => {
    const file = join(here.store, 'cluster', 'nightly', set, 'manifest.json');
    const text = readFileSync(file, 'utf8');
    writeFileSync(file, text.replaceAll('"shard2"', '"shard9"').replaceAll('"shard2/', '"shard9/'));
    const said = await coldbackup('restore', 'cluster', set, '--plan');
    writeFileSync(file, text);
    expect(said.stdout).toContain('shard shard9');
    expect(said.stdout).toContain('of the set is missing');
    expect(said.code).toBe(3);
  });

  test('puts documents, chunks, settings and files as they were, on a healthy cluster, by one command', async () => {
    const wanted = ['restore', 'cluster', set, '--yes', '--why', 'a test', '--wait', '--json'];
    const { code, stdout, stderr } = await coldbackup(...wanted);
    expect([code, stderr]).toEqual([0, expect.any(String)]);
    const report = JSON.parse(stdout) as Report;
    expect([report.outcome, report.reason]).toEqual(['complete', null]);
    expect(report.restore).toMatchObject({ committed: true });
    expect(report.restore?.compared[0]).toEqual({
      database,
      text: 'mongos: routes to shard1, shard2, as in the set',
    });
    expect(await held()).toEqual(before);
    expect(await rawSettings()).toEqual(settingsBefore);
    expect(await status()).toMatchObject({ mode: 'full' });
    await cluster.untilHealthy();
    expect(readFileSync(join(here.tree, 'kept.conf'), 'utf8')).toBe('as it was\n');
    expect(isRunning(here.app)).toBe(true);
    const down = new Map(report.services.map(({ service, downMs }) => [service, downMs]));
    const [config, shard] = [cluster.config, cluster.shards[0]].map(
      (one) => down.get(`mongod-${one?.members[0]?.port ?? 0}`) ?? 0,
    );
    // Config servers first, then shards, then routers, then who uses them.
    expect(config).toBeLessThan(shard ?? 0);
    expect(shard).toBeLessThan(down.get('mongos') ?? 0);
    expect(down.get('mongos')).toBeLessThan(down.get('app') ?? 0);
  }, 300_000);

  test('a cluster that was restored takes writes, and moves chunks', async () => {
    await as(cluster.uri, async (admin, client) => {
      const docs = client.db('vitam').collection<{ _id: number }>('docs');
      const later = Array.from({ length: 20 }, (_, n) => ({ _id: 2_000 + n }));
      await docs.insertMany(later, { writeConcern: { w: 'majority' } });
      await moveChunk(admin, client);
      expect(await docs.countDocuments()).toBe(documents + later.length);
    });
  });

  test('of a cluster whose machines are gone makes one of other members, and of more, with all that the shards had', async () => {
    await cluster.stop();
    const other = await startSpares();
    const there = await writeClusterSite(cleanup, other, { database, alive, replicaSets: true });
    // The sets of the site that was lost lie in its store.
    writeFileSync(there.file, readFileSync(there.file, 'utf8').replaceAll(there.store, here.store));
    const { server } = await startAll(cleanup, there);
    const wanted = [
      'restore',
      'cluster',
      set,
      '--database',
      database,
      '--yes',
      '--why',
      'lost',
      '--wait',
      '--json',
    ];
    const { code, stdout, stderr } = await coldbackupAt(server.address, undefined, 280_000)(...wanted);
    expect([code, stderr]).toEqual([0, expect.any(String)]);
    const report = JSON.parse(stdout) as Report;
    expect([report.outcome, report.reason]).toEqual(['complete', null]);
    expect(report.restore?.compared.map(({ text }) => text)).toEqual([
      'mongos: routes to shard1, shard2, as in the set',
      ...['shard1', 'shard2', 'config'].map((name) =>
        expect.stringMatching(`^${name}: (fingerprint passed|not compared)`),
      ),
    ]);
    cluster = other;
    await cluster.untilHealthy();
    expect(await held()).toEqual(before);
    expect(await rawSettings()).toEqual(settingsBefore);
    await as(cluster.uri, async (admin, client) => {
      const shards = await client.db('config').collection('shards').find().sort({ _id: 1 }).toArray();
      expect(shards.map(({ host: at }) => at as string)).toEqual(
        other.shards.map(({ name, members }) => `${name}/${members.map((one) => one.name).join(',')}`),
      );
      await client
        .db('vitam')
        .collection('docs')
        .insertOne({ _id: 3_000 as never }, { writeConcern: { w: 'majority' } });
      await moveChunk(admin, client);
    });
  }, 300_000);

  interface Held {
    readonly documents: Readonly<Record<string, readonly unknown[]>>;
    readonly chunks: readonly string[];
    readonly users: readonly unknown[];
  }

  /** What the last member of each shard has itself, and where the config servers say that it is. */
  async function held(): Promise<Held> {
    const perShard = await Promise.all(
      cluster.shards.map(async ({ name, members }) => {
        const all = await as(members.at(-1)?.uri ?? '', (_, client) =>
          client.db('vitam').collection('docs').find().sort({ _id: 1 }).toArray(),
        );
        return [name, all] as const;
      }),
    );
    const { chunks, users } = await as(cluster.uri, async (admin, client) => ({
      chunks: await chunksOf(client),
      users: ((await admin.command({ usersInfo: 1 }))['users'] as Document[]).map(
        ({ user }) => user as string,
      ),
    }));
    return {
      documents: Object.fromEntries(perShard),
      chunks: chunks.map(({ uuid, shard, min }) => `${String(uuid)} ${JSON.stringify(min)} ${String(shard)}`),
      users: users.sort(),
    };
  }
});

/** Of the documents; not those of sessions, which the balancer spreads. */
async function chunksOf(client: MongoClient): Promise<readonly Document[]> {
  const config = client.db('config');
  const found = await config
    .collection<Document & { _id: string }>('collections')
    .findOne({ _id: 'vitam.docs' });
  return config.collection('chunks').find({ uuid: found?.['uuid'] }).sort({ min: 1 }).toArray();
}

async function moveChunk(admin: Db, client: MongoClient): Promise<void> {
  const [chunk] = await chunksOf(client);
  const bounds = [chunk?.['min'], chunk?.['max']];
  const to = chunk?.['shard'] === 'shard1' ? 'shard2' : 'shard1';
  await admin.command({ moveChunk: 'vitam.docs', bounds, to, _waitForDelete: true });
}

/** Servers on empty folders, of a shard one more than it had, and a router that finds no cluster. */
async function startSpares(): Promise<ShardedCluster & Running> {
  const size = { shards: 2, membersPerShard: [2, 1], configMembers: 1 };
  const spares = await deploy({ auth: true, servers: createUnitServers(alive) }, async (deployment) => {
    const described = await describeCluster(deployment, {
      ...size,
      mongod: mongod7,
      mongos: commandOf('mongos'),
    });
    await Promise.all(described.members.map((member) => deployment.servers.start(member)));
    const { command, pidFile } = described.mongos;
    await startUnit(defineUnit(dirname(pidFile), command, alive));
    return described;
  });
  cleanup.add(() => spares.stop());
  return spares;
}

function ask(of: Site = site) {
  return createMongodbActivities({
    site: of,
    host,
    heartbeat: () => undefined,
    signal: () => new AbortController().signal,
  });
}

async function marked(member: Member) {
  const { marker } = await ask().mongodbMark({ site: 'test', database, member: member.name, note: 'a test' });
  if (!marker) throw new Error(`${member.name} is not primary`);
  return marker;
}

function print(member: Member) {
  return ask().mongodbFingerprint({ site: 'test', database, member: member.name, marker: null });
}

/** The config server makes the collection that the shards write to. */
async function refreshSessions(): Promise<void> {
  for (const { uri } of [...cluster.config.members, ...cluster.shards.flatMap((s) => s.members)])
    await as(uri, (admin) => admin.command({ refreshLogicalSessionCacheNow: 1 }));
}

function status(): Promise<Document> {
  return as(cluster.uri, (admin) => admin.command({ balancerStatus: 1 }));
}

function settings(client: MongoClient) {
  return client.db('config').collection<Document & { _id: string }>('settings');
}

async function changeSettings(change: (of: ReturnType<typeof settings>) => Promise<unknown>): Promise<void> {
  await as(cluster.uri, (_, client) => change(settings(client)));
}

/** As bytes: a number that came back as another type would not be seen otherwise. */
function rawSettings(): Promise<readonly string[]> {
  return as(cluster.uri, async (_, client) => {
    const found = await settings(client)
      .find({}, { promoteValues: false, sort: { _id: 1 } })
      .toArray();
    return found.map((document) => Buffer.from(BSON.serialize(document)).toString('hex'));
  });
}

async function pinged(config: Member | undefined): Promise<boolean> {
  return as(config?.uri ?? '', async (_, client) => {
    const oplog = client.db('local').collection('oplog.rs');
    const last = await oplog
      .find({ op: { $ne: 'n' } })
      .sort({ $natural: -1 })
      .limit(1)
      .next();
    return last?.['ns'] === 'config.mongos';
  });
}

/** It was ended, or was over by then. */
function ignore(): void {}

function gate(ms: number) {
  return { site: 'test', database, until: new Date(Date.now() + ms).toISOString() };
}

function soon() {
  return { untilMs: Date.now() + 60_000 };
}

async function newFolder(): Promise<string> {
  return mkdtemp(join(folder, 'secrets-'));
}
