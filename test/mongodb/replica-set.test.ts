import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Db, Document } from 'mongodb';
import { createMongodbActivities } from '../../activities/mongodb/activities.ts';
import { checkMongodb } from '../../activities/mongodb/checks.ts';
import { compareFingerprints } from '../../activities/mongodb/compare-fingerprints.ts';
import { checkGuard } from '../../activities/mongodb/guard.ts';
import { waitUntilMemberReady } from '../../activities/mongodb/readiness.ts';
import type { MemberGuard, Optime } from '../../model/ledger.ts';
import type { Site } from '../../model/site.ts';
import type { Member, ReplicaSet, Running } from '../support/mongodb.ts';
import { waitFor } from '../support/processes.ts';
import {
  as,
  backup,
  createBackupUser,
  database,
  failPoint,
  failureOf,
  host,
  reconfigure,
  siteOf,
  startTestSet,
} from './fixture.ts';

let set: ReplicaSet & Running;
let folder: string;
let site: Site;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coldbackup-test-'));
  set = await startTestSet();
  site = await siteOf(folder, { members: set.members });
  await createBackupUser(set.uri, ['coldbackupMember'], { members: 3 });
  await reconfigure(set, (config) => {
    Object.assign(config['settings'] as Document, {
      heartbeatIntervalMillis: 300,
      chainingAllowed: false,
      electionTimeoutMillis: 3000,
    });
  });
  for (const collection of ['lag', 'late']) await insert(await set.primary(), collection, 10, 'majority');
});

afterAll(async () => {
  await set.stop();
  await rm(folder, { recursive: true, force: true });
});

describe('what a replica set says of itself', () => {
  test('the topology has its members and its primary', async () => {
    const primary = await set.primary();
    expect(await activities().mongodbTopology({ site: 'test', database })).toEqual({
      topology: 'replica-set',
      sets: [
        {
          set: 'rs0',
          role: 'replica-set',
          members: set.members.map((m) => m.name),
          primary: primary.name,
        },
      ],
      shards: null,
      balancer: null,
    });
  });

  test('a member that the cluster does not know is named with the nearest known one, for good', async () => {
    const stranger = withMember(site, `${set.members[0]?.name ?? ''}1`);
    const { message, nonRetryable } = await failureOf(
      activities(stranger).mongodbTopology({ site: 'test', database }),
    );
    expect(message).toContain(`the cluster does not know ${set.members[0]?.name ?? ''}1`);
    expect(message).toContain(`nearest known name is ${set.members[0]?.name ?? ''}`);
    expect(nonRetryable).toBe(true);
  });

  test('a cluster member that the site file does not know is named, for good', async () => {
    const [gone, ...members] = set.members;
    const { message, nonRetryable } = await failureOf(
      activities(await siteOf(folder, { members })).mongodbTopology({ site: 'test', database }),
    );
    expect(message).toContain(`the site file does not name ${gone?.name ?? ''}`);
    expect(nonRetryable).toBe(true);
  });

  test('a description has what a restore needs, and no files outside the data directory', async () => {
    const [member] = set.members;
    const info = await activities().mongodbDescribe({ site: 'test', database, member: nameOf(member) });
    expect(info).toMatchObject({ version: '6.0.27', fcv: '6.0', shardIdentity: null });
    expect(info.replicaSetConfig).toMatchObject({ _id: 'rs0' });
    expect(info.options).toMatchObject({ storage: { dbPath: member?.dataDir } });
  });

  test('a data directory that the site file has wrong is refused', async () => {
    const [member, other] = set.members;
    const wrong = withData(site, nameOf(member), other?.dataDir ?? '');
    const { message, nonRetryable } = await failureOf(
      activities(wrong).mongodbDescribe({ site: 'test', database, member: nameOf(member) }),
    );
    expect(message).toContain(`its dbPath is ${member?.dataDir ?? ''}`);
    expect(nonRetryable).toBe(true);
  });

  test('a link that leads out of the data directory is refused: the copy would miss what it leads to', async () => {
    const [member] = set.members;
    const link = join(member?.dataDir ?? '', 'elsewhere');
    await symlink(folder, link);
    try {
      const { message } = await failureOf(
        activities().mongodbDescribe({ site: 'test', database, member: nameOf(member) }),
      );
      expect(message).toContain(`${link} is a link to ${folder}`);
    } finally {
      await rm(link);
    }
  });
});

describe('credentials', () => {
  test('the smallest role of the documentation is enough for all checks', async () => {
    const checks = await checkMongodb(site, database, host);
    expect(checks.filter((c) => c.verdict !== 'go')).toEqual([]);
    expect(checks).toHaveLength(3);
  });

  test('a wrong password is a no-go for each member, and shows in no message', async () => {
    const login = { user: backup.user, password: 'wr%ng/p@ss' };
    const wrong = await siteOf(await newFolder(), { members: set.members, login });
    const checks = await checkMongodb(wrong, database, host);
    expect(checks.map((c) => c.verdict)).toEqual(['no-go', 'no-go', 'no-go']);
    for (const [index, check] of checks.entries()) {
      expect(check.detail).toContain(
        `${database} member ${nameOf(set.members[index])}, asked from host ${host}`,
      );
      expect(JSON.stringify(check)).not.toContain(login.password);
      expect(JSON.stringify(check)).not.toContain(encodeURIComponent(login.password));
    }
  });

  test('a user without the role is told what it may not do, for good', async () => {
    const login = { user: 'nobody', password: 'nothing' };
    await as(set.uri, (admin) =>
      admin.command({ createUser: login.user, pwd: login.password, roles: [], writeConcern: { w: 3 } }),
    );
    const poor = await siteOf(await newFolder(), { members: set.members, login });
    const { message, nonRetryable } = await failureOf(
      activities(poor).mongodbDescribe({ site: 'test', database, member: nameOf(set.members[0]) }),
    );
    expect(message).toMatch(
      /not authorized on admin to execute command \{ (replSetGetConfig|getCmdLineOpts)/,
    );
    expect(nonRetryable).toBe(true);
  });

  test('a secret that is no uri is refused without being shown', async () => {
    const own = await newFolder();
    const bad = await siteOf(own, { members: set.members });
    await writeFile(join(own, `${set.members[0]?.port ?? 0}.uri`), 'top:secret');
    const { message, nonRetryable } = await failureOf(
      activities(bad).mongodbPrimary({ site: 'test', database, member: nameOf(set.members[0]) }),
    );
    expect(message).toContain('holds no usable MongoDB uri');
    expect(message).not.toContain('top secret');
    expect(nonRetryable).toBe(true);
  });

  test('a uri that leads to another member is refused: the wrong one would be judged', async () => {
    const [a, b] = set.members;
    const own = await newFolder();
    const crossed = await siteOf(own, { members: set.members });
    const other = await siteOf(await newFolder(), { members: b ? [{ ...b, port: b.port }] : [] });
    const { message } = await failureOf(
      activities(withUri(crossed, nameOf(a), uriRefOf(other, nameOf(b)))).mongodbPrimary({
        site: 'test',
        database,
        member: nameOf(a),
      }),
    );
    expect(message).toContain(`leads to ${nameOf(b)}`);
  });
});

describe('the marker and the guard', () => {
  test('the marker is written by the primary and by nobody else', async () => {
    const primary = await set.primary();
    const secondary = other(primary);
    expect(await mark(secondary)).toBeNull();
    expect(await mark(primary)).toEqual({ ts: expect.stringMatching(/^\d+,\d+$/), term: expect.any(Number) });
  });

  test('a primary that has the marker on disk and in its majority may be stopped', async () => {
    const primary = await set.primary();
    const marker = await marked(primary);
    expect(await guard(primary, 'primary', marker)).toBe('holds');
  });

  test('a lagging secondary is refused until it has reached the marker: stopped cleanly it would lack writes', async () => {
    const primary = await set.primary();
    const lagging = other(primary);
    await failPoint(lagging, 'rsSyncApplyStop', 'alwaysOn');
    try {
      await insert(primary, 'lag', 300, 1);
      const marker = await marked(primary);
      for (const [asked, point] of [
        [primary, marker] as const,
        [lagging, marker] as const,
        [lagging, null] as const,
      ])
        await waitFor(async () => (await newestFirst(asked, point)).at(-1) === lagging.name, {
          what: 'the heartbeats that say who lags',
          withinMs: 20_000,
        });
      const { message, nonRetryable } = await failureOf(guard(lagging, 'secondary', marker, 800));
      expect(message).toContain(`before the marker ${marker.ts}`);
      expect(message).toContain(lagging.name);
      expect(nonRetryable).toBe(true);
      const waiting = guard(lagging, 'secondary', marker, 20_000);
      await failPoint(lagging, 'rsSyncApplyStop', 'off');
      expect(await waiting).toBe('holds');
    } finally {
      await failPoint(lagging, 'rsSyncApplyStop', 'off');
    }
  });

  test('a primary whose secondaries lag is refused: what it alone holds would be rolled back', async () => {
    const primary = await set.primary();
    const others = set.members.filter((m) => m.name !== primary.name);
    for (const lagging of others) await failPoint(lagging, 'stopReplProducer', 'alwaysOn');
    try {
      // A note that a majority has not got yet, as after a failover.
      const marker = await noteAlone(primary);
      const { message } = await failureOf(guard(primary, 'primary', marker, 800));
      expect(message).toContain('its majority commit point is');
      expect(message).toContain(`before the marker ${marker.ts}`);
    } finally {
      for (const lagging of others) await failPoint(lagging, 'stopReplProducer', 'off');
    }
    await set.untilHealthy();
  });

  test('an election between look-up and stop is answered with moved', async () => {
    const before = await set.primary();
    const marker = await marked(before);
    await as(before.uri, (admin) =>
      admin.command({ replSetStepDown: 20, secondaryCatchUpPeriodSecs: 5 }),
    ).catch(() => undefined);
    await waitFor(async () => (await set.primary()).name !== before.name, {
      what: 'another primary',
      withinMs: 30_000,
    });
    expect(await guard(before, 'primary', marker)).toBe('moved');
    await set.untilHealthy();
  });

  test('a delayed member is refused: its copy would be old', async () => {
    const primary = await set.primary();
    const delayed = other(primary);
    await reconfigure(set, (config) => {
      Object.assign(configOf(config, delayed), { priority: 0, hidden: true, secondaryDelaySecs: 3600 });
    });
    try {
      const { message, nonRetryable } = await failureOf(
        guard(delayed, 'secondary', await noteAlone(primary)),
      );
      expect(message).toContain('it is delayed by 3600 s');
      expect(nonRetryable).toBe(true);
      expect((await newestFirst(primary, null)).at(-1)).toBe(delayed.name);
    } finally {
      await reconfigure(set, (config) => {
        Object.assign(configOf(config, delayed), { priority: 1, hidden: false, secondaryDelaySecs: 0 });
      });
    }
  });

  test('a member in RECOVERING is not stopped, is asked last, and is a no-go for each member of its set', async () => {
    const primary = await set.primary();
    const healing = other(primary);
    const maintain = (replSetMaintenance: boolean) =>
      as(healing.uri, (admin) => admin.command({ replSetMaintenance }));
    const marker = await marked(primary);
    await maintain(true);
    try {
      const { message, nonRetryable } = await failureOf(guard(healing, 'secondary', marker, 300));
      expect(message).toContain('was not stopped: it is RECOVERING');
      expect(nonRetryable).toBe(true);
      await waitFor(async () => (await newestFirst(primary, marker)).at(-1) === healing.name, {
        what: 'the primary to see it heal',
        withinMs: 20_000,
      });
      const [itself] = await checkMongodb(withOnly(site, healing.name), database, host);
      expect(itself).toMatchObject({ verdict: 'no-go', detail: 'node is recovering' });
      expect(await checkMongodb(withOnly(site, primary.name), database, host)).toContainEqual(
        expect.objectContaining({
          verdict: 'no-go',
          detail: `its set is not healthy: ${healing.name} is RECOVERING`,
        }),
      );
    } finally {
      await maintain(false);
    }
    await set.untilHealthy();
  });

  test('a full oplog that does not reach back as far as a member may be away is a no-go', async () => {
    const primary = await set.primary();
    const rows = async (absenceMs: number) =>
      (await checkMongodb(withOnly(site, primary.name), database, host, { absenceMs })).filter(({ detail }) =>
        detail.includes('its oplog reaches back'),
      );
    const longMs = 100 * 3_600_000;
    expect(await rows(longMs)).toMatchObject([{ verdict: 'go' }]);
    await as(primary.uri, async (_, client) => {
      const large = client.db('vitam').collection('large');
      // The oplog of the test servers holds 64 MB.
      for (let n = 0; n < 5; n++) await large.insertOne({ filling: Buffer.alloc(12 * 1024 * 1024) });
      await client.db('vitam').dropCollection('large', { writeConcern: { w: 3 } });
    });
    expect(await rows(longMs)).toMatchObject([
      {
        verdict: 'no-go',
        detail: expect.stringMatching(/back 0\.\d h, a stopped member may be away 100\.0 h$/),
        hint: expect.stringContaining('replSetResizeOplog'),
      },
    ]);
    expect(await rows(1)).toMatchObject([{ verdict: 'go' }]);
  });

  test('a stop that would take the majority away is refused, unless the site file allows it', async () => {
    const primary = await set.primary();
    const down = other(primary);
    await set.stopMember(down);
    try {
      const marker = await marked(primary);
      await waitFor(
        async () =>
          as(primary.uri, async (admin) => {
            const { members } = (await admin.command({ replSetGetStatus: 1 })) as unknown as {
              members: Document[];
            };
            return members.some((m) => m['name'] === down.name && m['health'] === 0);
          }),
        { what: 'the set to see the member down', withinMs: 30_000 },
      );
      const { message, nonRetryable } = await failureOf(guard(primary, 'primary', marker, 500));
      expect(message).toContain('a majority write needs 2');
      expect(nonRetryable).toBe(true);
      const allowing = await siteOf(await newFolder(), { members: set.members, allow: ['set-down'] });
      expect(await guard(primary, 'primary', marker, 500, allowing)).toBe('holds');
      const rows = await checkMongodb(withOnly(site, primary.name), database, host);
      expect(rows.some((r) => r.verdict !== 'go')).toBe(true);
    } finally {
      await set.startMember(down);
    }
    await waitUntilMemberReady(site, database, down.name, { withinMs: 60_000 });
    await set.untilHealthy();
  });

  test('an arbiter does not count as a member that acknowledges writes', async () => {
    const { lacksMajorityWithout } = await import('../../activities/mongodb/member-status.ts');
    const member = { votes: 1, isArbiter: false, delaySecs: 0, healthy: true, applied: null };
    const self = { name: 'a', votes: 1, isArbiter: false, delaySecs: 0 };
    const status = {
      state: 'PRIMARY',
      isSyncing: false,
      applied: null,
      durable: null,
      committed: null,
      // Of a primary, a secondary and an arbiter the server says 2 for both.
      writeMajority: 2,
      voteMajority: 2,
      self,
      others: [
        { ...member, name: 'b', state: 'SECONDARY' },
        { ...member, name: 'c', state: 'ARBITER', isArbiter: true },
      ],
    };
    expect(lacksMajorityWithout(status)).toContain('1 healthy data-bearing voters would be left (b)');
  });
});

describe('writes after the marker', () => {
  test('a writer that goes on is named with namespace, time and session, and its member is not stopped', async () => {
    const primary = await set.primary();
    const marker = await marked(primary);
    await insert(primary, 'late', 2, 'majority');
    await as(`${primary.uri}&appName=orders`, async () => {
      const [go] = await checkMongodb(withOnly(site, primary.name), database, host);
      expect(go?.detail).toMatch(/; clients: "orders" from 127\.0\.0\.1 \(\d+\)(;|$)/);
      for (const member of [primary, other(primary)]) {
        const writes = await activities().mongodbWritesSince({
          site: 'test',
          database,
          member: member.name,
          marker,
        });
        expect(writes[0]).toMatch(/^vitam\.late at \d{4}-\d\d-\d\dT[\d:.]+Z/);
        expect(writes[0]?.includes('"orders" from 127.0.0.1')).toBe(member === primary);
      }
    });
    const { message, nonRetryable } = await failureOf(guard(primary, 'primary', marker));
    expect(message).toContain('somebody wrote after the marker: vitam.late at');
    expect(nonRetryable).toBe(true);
  });

  test('what the servers write for themselves is no write', async () => {
    const primary = await set.primary();
    await as(primary.uri, (_, client) =>
      client
        .db('vitam')
        .collection('s')
        .insertOne({}, { retryWrites: true } as object),
    );
    const marker = await marked(primary);
    await as(primary.uri, (admin) => admin.command({ refreshLogicalSessionCacheNow: 1 }));
    await as(primary.uri, (admin) =>
      admin.command({ replSetStepDown: 1, secondaryCatchUpPeriodSecs: 1 }),
    ).catch(() => undefined);
    await set.untilHealthy();
    const member = (await set.primary()).name;
    expect(await entriesAfter(await set.primary(), marker)).toBeGreaterThan(1);
    expect(await activities().mongodbWritesSince({ site: 'test', database, member, marker })).toEqual([]);
  });

  test('a marker that is not in the oplog is refused', async () => {
    const primary = await set.primary();
    const { message, nonRetryable } = await failureOf(
      activities().mongodbWritesSince({
        site: 'test',
        database,
        member: primary.name,
        marker: { ts: '1700000000,1', term: 1 },
      }),
    );
    expect(message).toContain('is not in its oplog');
    expect(nonRetryable).toBe(true);
  });
});

describe('the gate', () => {
  test('nothing in flight passes at once', async () => {
    await activities().mongodbGate({ site: 'test', database, until: soon(5_000) });
  });

  test('an open transaction is named, and the gate opens when it ends', async () => {
    const primary = await set.primary();
    await as(primary.uri, async (_, client) => {
      const session = client.startSession();
      session.startTransaction();
      await client.db('vitam').collection('lag').insertOne({ in: 'transaction' }, { session });
      const { message } = await failureOf(
        activities().mongodbGate({ site: 'test', database, until: soon(300) }),
      );
      expect(message).toContain('an open transaction');
      expect(message).toContain(primary.name);
      const waiting = activities().mongodbGate({ site: 'test', database, until: soon(20_000) });
      await session.abortTransaction();
      await waiting;
      await session.endSession();
    });
  });

  test('an index build is named', async () => {
    const primary = await set.primary();
    await failPoint(primary, 'hangAfterStartingIndexBuild', 'alwaysOn');
    try {
      await as(primary.uri, async (_, client) => {
        const building = client.db('vitam').collection('lag').createIndex({ n: 1 }, {}, {});
        const seen = await waitFor(
          async () => {
            const { message } = await failureOf(
              activities().mongodbGate({ site: 'test', database, until: soon(0) }),
            );
            return message.includes('an index build') && message;
          },
          { what: 'the index build', withinMs: 20_000 },
        );
        expect(seen).toContain('vitam.lag');
        await failPoint(primary, 'hangAfterStartingIndexBuild', 'off');
        await building;
      });
    } finally {
      await failPoint(primary, 'hangAfterStartingIndexBuild', 'off');
    }
  });
});

describe('the fingerprint', () => {
  test('it is the same on every member at the marker', async () => {
    const primary = await set.primary();
    const marker = await marked(primary);
    const prints = await Promise.all(set.members.map((m) => print(m, marker)));
    expect(prints[0]).toMatchObject({
      databases: { vitam: { late: expect.stringMatching(/^\w{32} \w{32}$/) } },
    });
    expect(prints[1]).toEqual(prints[0]);
    expect(prints[2]).toEqual(prints[0]);
  });

  test('a write after the marker, before all is read, leaves none: the copy is of the marker', async () => {
    const primary = await set.primary();
    const reading = other(primary);
    const marker = await marked(primary);
    const { count } = await as(reading.uri, (admin) =>
      admin.command({ configureFailPoint: 'hangBeforeListCollections', mode: 'alwaysOn' }),
    );
    try {
      const printing = print(reading, marker);
      // By then the documents of its first database are digested.
      await as(reading.uri, (admin) =>
        admin.command({
          ...{ waitForFailPoint: 'hangBeforeListCollections', timesEntered: Number(count) + 1 },
          maxTimeMS: 20_000,
        }),
      );
      await insert(primary, 'late', 1, 'majority');
      await failPoint(reading, 'hangBeforeListCollections', 'off');
      expect(await printing).toEqual({
        none: expect.stringMatching(/^it was written to before its content was read: vitam\.late at 2/),
      });
    } finally {
      await failPoint(reading, 'hangBeforeListCollections', 'off');
    }
    expect(await print(reading, await marked(primary))).toHaveProperty('databases.vitam');
  });

  test('it sees a validator, an index and a new UUID, which dbHash does not', async () => {
    const primary = await set.primary();
    const hashOf = () =>
      as(
        primary.uri,
        async (_, client) =>
          (await client.db('vitam').command({ dbHash: 1, collections: ['late'] }))['md5'] as string,
      );
    const hash = await hashOf();
    const definition = 'vitam.late has another UUID, other options or other indexes than at the backup';
    expect(
      await changes(primary, (vitam) => vitam.command({ collMod: 'late', validator: { n: { $gte: 0 } } })),
    ).toEqual([definition]);
    expect(await changes(primary, (vitam) => vitam.collection('late').createIndex({ n: 1 }, {}, {}))).toEqual(
      [definition],
    );
    expect(
      await changes(primary, async (vitam) => {
        const [before] = await vitam.listCollections({ name: 'late' }, { nameOnly: false }).toArray();
        const indexes = await vitam.collection('late').indexes();
        const documents = await vitam.collection('late').find().toArray();
        await vitam.collection('late').drop();
        await vitam.createCollection('late', before?.options);
        await vitam.collection('late').createIndexes(indexes.slice(1).map(({ key }) => ({ key })));
        await vitam.collection('late').insertMany(documents);
      }),
    ).toEqual([definition]);
    expect(await hashOf()).toBe(hash);
  });

  test('it sees another view, another document of a time series, and another user or role', async () => {
    const primary = await set.primary();
    const [at, written] = [new Date(0), { writeConcern: { w: 3 } }];
    await as(primary.uri, async (_, client) => {
      await client.db('vitam').createCollection('seen', { viewOn: 'late', pipeline: [] });
      const series = await client.db('vitam').createCollection('series', { timeseries: { timeField: 'at' } });
      await series.insertOne({ at, n: 1 }, written);
    });
    const documents = (name: string) => `${name} has other documents than at the backup`;
    expect(
      await changes(primary, (vitam) =>
        vitam.command({ collMod: 'seen', viewOn: 'late', pipeline: [{ $limit: 1 }] }),
      ),
    ).toEqual([documents('vitam.seen'), documents('vitam.system.views')]);
    expect(
      await changes(primary, (vitam) => vitam.collection('series').insertOne({ at, n: 2 }, written)),
    ).toEqual([documents('vitam.system.buckets.series')]);
    expect(
      await changes(primary, (_, admin) =>
        admin.command({ createRole: 'reader', privileges: [], roles: ['readAnyDatabase'] }),
      ),
    ).toEqual([documents('admin.system.roles')]);
    expect(
      await changes(primary, (_, admin) =>
        admin.command({ grantRolesToUser: backup.user, roles: ['reader'] }),
      ),
    ).toEqual([documents('admin.system.users')]);
    expect(
      await changes(primary, (_, admin) => admin.command({ updateRole: 'reader', roles: ['read'] })),
    ).toEqual([documents('admin.system.roles')]);
  });

  test('what a member profiles is its own, and in no fingerprint', async () => {
    const primary = await set.primary();
    const profiled = other(primary);
    const profile = (level: 0 | 2) =>
      as(profiled.uri, (_, client) => client.db('vitam').command({ profile: level }));
    await profile(2);
    try {
      await print(profiled, null);
      const there = await as(profiled.uri, (_, client) =>
        client.db('vitam').listCollections({ name: 'system.profile' }).toArray(),
      );
      expect(there).toHaveLength(1);
    } finally {
      await profile(0);
    }
    const marker = await marked(primary);
    const [here, elsewhere] = [await print(profiled, marker), await print(primary, marker)];
    expect(here).toEqual(elsewhere);
    // As an earlier version took them.
    const { databases } = here as { databases: { vitam: object } };
    const old = { ...here, databases: { vitam: { ...databases.vitam, 'system.profile': 'a b' } } };
    expect(compareFingerprints(old, here)).toEqual([]);
  });

  test('where a TTL index removes documents meanwhile there is none, and preflight warns', async () => {
    const primary = await set.primary();
    await as(primary.uri, async (admin, client) => {
      await client.db('vitam').collection('ttl').createIndex({ at: 1 }, { expireAfterSeconds: 3600 }, {});
      await client.db('vitam').createCollection('old', {
        ...{ timeseries: { timeField: 'at' }, expireAfterSeconds: 3600 },
      });
      await admin.command({ setParameter: 1, ttlMonitorEnabled: true });
      try {
        const { none } = (await print(primary, null)) as { none: string };
        expect(none).toMatch(/^a TTL index removes documents of vitam\.(old, vitam\.ttl|ttl, vitam\.old)$/);
        const rows = await checkMongodb(withOnly(site, primary.name), database, host);
        expect(rows.find((r) => r.verdict === 'warning')?.detail).toContain('vitam.ttl');
      } finally {
        await admin.command({ setParameter: 1, ttlMonitorEnabled: false });
      }
    });
  });
});

describe('coming back', () => {
  test('a member is ready when it has caught up with what its set wrote meanwhile', async () => {
    const primary = await set.primary();
    const away = other(primary);
    await set.stopMember(away);
    await insert(primary, 'meanwhile', 500, 1);
    await set.startMember(away);
    await waitUntilMemberReady(site, database, away.name, { withinMs: 60_000 });
    const count = await as(`${away.uri}&readPreference=secondary`, (_, client) =>
      client.db('vitam').collection('meanwhile').countDocuments(),
    );
    expect(count).toBe(500);
  });

  test('a member that does not come back is named when time is up', async () => {
    const away = other(await set.primary());
    await set.stopMember(away);
    try {
      const { message } = await failureOf(waitUntilMemberReady(site, database, away.name, { withinMs: 300 }));
      expect(message).toContain(`${away.name} was started and was not ready within 300 ms`);
    } finally {
      await set.startMember(away);
      await waitUntilMemberReady(site, database, away.name, { withinMs: 60_000 });
    }
  });

  test('a rollback right after the restart is a loud failure: its copy holds what the set did not keep', async () => {
    const before = await set.primary();
    const others = set.members.filter((m) => m.name !== before.name);
    for (const lagging of others) await failPoint(lagging, 'stopReplProducer', 'alwaysOn');
    await as(before.uri, (_, client) =>
      client
        .db('vitam')
        .collection('rolled-back')
        .insertOne({}, { writeConcern: { w: 1, journal: true } }),
    );
    await set.stopMember(before, { signal: 'SIGKILL' });
    for (const lagging of others) await failPoint(lagging, 'stopReplProducer', 'off');
    const next = await waitFor(async () => (await set.primary()).name !== before.name && set.primary(), {
      what: 'another primary',
      withinMs: 60_000,
    });
    await insert(next, 'kept', 10, 1);
    await set.startMember(before);
    const { message, nonRetryable } = await failureOf(
      waitUntilMemberReady(site, database, before.name, { withinMs: 60_000 }),
    );
    expect(message).toContain('rolls writes back right after its restart');
    expect(nonRetryable).toBe(true);
  });
});

function activities(of: Site = site) {
  return createMongodbActivities({
    site: of,
    host,
    heartbeat: () => undefined,
    signal: () => new AbortController().signal,
  });
}

async function mark(member: Member): Promise<Optime | null> {
  return (await activities().mongodbMark({ site: 'test', database, member: member.name, note: 'a test' }))
    .marker;
}

async function marked(member: Member): Promise<Optime> {
  const marker = await mark(member);
  if (!marker) throw new Error(`${member.name} is not primary`);
  return marker;
}

/** A note that waits for nobody. */
function noteAlone(member: Member): Promise<Optime> {
  return as(member.uri, async (admin, client) => {
    await admin.command({ appendOplogNote: 1, data: { alone: true }, writeConcern: { w: 1 } });
    const oplog = client.db('local').collection('oplog.rs');
    const entry = await oplog.find({ 'o.alone': true }).sort({ $natural: -1 }).limit(1).next();
    const ts = entry?.['ts'] as { t: number; i: number };
    return { ts: `${ts.t},${ts.i}`, term: Number(entry?.['t']) };
  });
}

function guard(
  { name: member }: Member,
  role: MemberGuard['role'],
  marker: Optime,
  withinMs = 10_000,
  of: Site = site,
): Promise<'holds' | 'moved'> {
  return checkGuard(
    of,
    { kind: 'mongodb-member', database, member, role, marker },
    { untilMs: Date.now() + withinMs },
  );
}

async function insert(member: Member, collection: string, count: number, w: 1 | 'majority'): Promise<void> {
  const documents = Array.from({ length: count }, (_, n) => ({ n }));
  await as(member.uri, (_, client) =>
    client.db('vitam').collection(collection).insertMany(documents, { ordered: false, writeConcern: { w } }),
  );
}

function entriesAfter(member: Member, marker: Optime): Promise<number> {
  return as(member.uri, async (_, client) => {
    const { Timestamp } = await import('mongodb');
    const [t = 0, i = 0] = marker.ts.split(',').map(Number);
    return client
      .db('local')
      .collection('oplog.rs')
      .countDocuments({ ts: { $gt: new Timestamp({ t, i }) }, op: { $ne: 'n' } });
  });
}

async function newestFirst(member: Member, marker: Optime | null): Promise<readonly string[]> {
  const input = { site: 'test', database, member: member.name, marker };
  return (await activities().mongodbNewestFirst(input)).members;
}

function print(member: Member, marker: Optime | null) {
  return activities().mongodbFingerprint({ site: 'test', database, member: member.name, marker });
}

/** What differs, by the fingerprints of before and after. */
async function changes(member: Member, change: (vitam: Db, admin: Db) => Promise<unknown>) {
  const before = await print(member, null);
  await as(member.uri, (admin, client) => change(client.db('vitam'), admin));
  return compareFingerprints(before, await print(member, null));
}

function other(member: Member): Member {
  const found = set.members.find((m) => m.name !== member.name);
  if (!found) throw new Error('a set of one');
  return found;
}

function nameOf(member: Member | undefined): string {
  return member?.name ?? 'nobody';
}

function soon(ms: number): string {
  return new Date(Date.now() + ms).toISOString();
}

async function newFolder(): Promise<string> {
  return mkdtemp(join(folder, 'secrets-'));
}

function configOf(config: Document, { name }: Member): Document {
  return (config['members'] as Document[]).find((m) => m['host'] === name) ?? {};
}

function mongodbOf(of: Site) {
  const engine = of.databases[database]?.engine;
  if (engine?.kind !== 'mongodb') throw new Error('no MongoDB');
  return engine;
}

function withEngine(of: Site, members: ReturnType<typeof mongodbOf>['members']): Site {
  return { ...of, databases: { [database]: { usedBy: [], engine: { ...mongodbOf(of), members } } } };
}

/** The last member under another name. */
function withMember(of: Site, name: string): Site {
  const { members } = mongodbOf(of);
  const [first] = Object.values(members);
  return first ? withEngine(of, { ...members, [name]: { ...first, host: 'elsewhere' } }) : of;
}

function withData(of: Site, name: string, data: string): Site {
  const { members } = mongodbOf(of);
  const member = members[name];
  return member ? withEngine(of, { ...members, [name]: { ...member, data } }) : of;
}

function withUri(of: Site, name: string, uri: ReturnType<typeof uriRefOf>): Site {
  const { members } = mongodbOf(of);
  const member = members[name];
  return member ? withEngine(of, { ...members, [name]: { ...member, uri } }) : of;
}

function uriRefOf(of: Site, name: string) {
  return mongodbOf(of).members[name]?.uri ?? { env: 'NOBODY' };
}

/** All other members are on another host. */
function withOnly(of: Site, name: string): Site {
  return withEngine(
    of,
    Object.fromEntries(
      Object.entries(mongodbOf(of).members).map(([key, member]) => [
        key,
        key === name ? member : { ...member, host: 'elsewhere' },
      ]),
    ),
  );
}
