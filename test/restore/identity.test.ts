import { cpSync, lstatSync, mkdirSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Long, ObjectId, type Collection, type MongoClient } from 'mongodb';
import { maintainScratch } from '../../activities/mongodb/open-copy.ts';
import { settleIdentity } from '../../activities/restore/identity.ts';
import type { RestorePlace } from '../../activities/restore/place.ts';
import { makeStaging } from '../../activities/restore/staging.ts';
import { runCommand } from '../../activities/system/command.ts';
import type { MongodbRecord, MongodbSetRecord } from '../../model/manifest.ts';
import type { Argv, MongodbEngine, MongodbMember, Site } from '../../model/site.ts';
import { isRoot } from '../archive/support.ts';
import { database, nativeMongod, siteOf, startTestSet } from '../mongodb/fixture.ts';
import { createCleanup } from '../support/processes.ts';

const owner = 1234;
if (!isRoot) console.warn('a copy is not opened as the owner of its files: only root can do that');

/** A real copy of a real member, in staging, owned by somebody who is not the agent. */
(isRoot ? describe : describe.skip)('the copy of a member, before it becomes one', () => {
  const cleanup = createCleanup();
  afterAll(cleanup.run);
  const root = 'var/lib/db';
  let site: Site;
  let place: RestorePlace;
  let data: string;
  let record: MongodbSetRecord;

  beforeAll(async () => {
    const set = await startTestSet({ members: 1, auth: false });
    cleanup.add(() => set.stop());
    const [member] = set.members;
    if (member === undefined) throw new Error('the set has no member');
    await set.stopMember(member);
    const folder = await cleanup.folder();
    await runCommand(['chmod', '755', folder]);
    // Where others may run it.
    cpSync(dirname(nativeMongod.at(-1) ?? ''), join(folder, 'bin'), { recursive: true });
    await runCommand(['chmod', '-R', 'a+rX', join(folder, 'bin')]);
    const mongod: Argv = [join(folder, 'bin', 'mongod')];
    site = {
      ...(await siteOf(folder, set)),
      drill: { scratch: folder, checks: [], mongod, memoryBytes: 2e9 },
    };
    place = {
      staging: join(folder, 'db.coldbackup-0123456789ab'),
      roots: [{ path: join(folder, 'db'), aside: '' }],
    };
    data = join(await makeStaging(place), root);
    mkdirSync(dirname(data), { recursive: true, mode: 0o700 });
    cpSync(member.dataDir, data, { recursive: true });
    record = {
      ...{
        set: set.name,
        role: 'replica-set',
        member: member.name,
        artifact: 'orders/rs.tar.zst',
        marker: null,
      },
      ...{ version: '6.0.27', fcv: '6.0', options: {}, fingerprint: null },
      ...{ replicaSetConfig: null, shardIdentity: null },
    };
    await withConfig(async (configs) => {
      await configs.updateOne({}, { $set: { term: Long.fromNumber(99) } });
    });
    await runCommand(['chmod', '700', data]);
  }, 120_000);

  test('is opened as the owner of its files, and its configuration is of no later term than its oplog', async () => {
    await settle(record);
    const owners = readdirSync(data, { recursive: true }).map(
      (name) => lstatSync(join(data, String(name))).uid,
    );
    expect(new Set(owners)).toEqual(new Set([owner]));
    expect(lstatSync(join(data, 'mongod.lock')).size).toBe(0);
    await withConfig(async (configs) => {
      expect(await configs.findOne()).toMatchObject({ _id: record.set, term: 1 });
    });
  });

  test('is refused where it ends before the point of its set, or is of another set', async () => {
    const later = { ts: '4000000000,1', term: 9 };
    await expect(settle({ ...record, marker: later })).rejects.toThrow('before the point of its set');
    await expect(settle({ ...record, set: 'other' })).rejects.toThrow(
      'no configuration of replica set other',
    );
  });

  test('of a set of other members holds their first configuration, with an identity of its own', async () => {
    const newSet = '0123456789abcdef01234567';
    await settle(record, { newSet });
    await withConfig(async (configs) => {
      const config = await configs.findOne();
      const members = Object.keys(engineNow().members);
      expect(config).toEqual({
        ...{ _id: record.set, version: 1, term: 1, protocolVersion: expect.anything() },
        writeConcernMajorityJournalDefault: true,
        members: members.map((name, index) => ({ _id: index, host: name })),
        settings: expect.objectContaining({ replicaSetId: ObjectId.createFromHexString(newSet) }),
      });
    });
  });

  test('of a cluster of other members names them where it says who its shards and its config servers are', async () => {
    const [name = ''] = Object.keys(engineNow().members);
    const now = `${record.set}/${name}`;
    const shards = [{ _id: 'one', host: `${record.set}/gone:1` }];
    const config: MongodbSetRecord = { ...record, role: 'config' };
    const identity = { _id: 'shardIdentity' as never, shardName: 'one' };
    const shard: MongodbSetRecord = {
      ...{ ...record, role: 'shard' },
      shardIdentity: { ...identity, configsvrConnectionString: `${record.set}/gone:2` },
    };
    await withServer(async (client) => {
      await client
        .db('config')
        .collection('shards')
        .insertOne({ _id: 'one' as never, host: 'rs0/gone:1', state: 1 });
      await client
        .db('admin')
        .collection('system.version')
        .insertOne({ ...identity, configsvrConnectionString: 'rs0/gone:2' });
    });
    const of = (cluster: typeof shards) => ({ newSet: 'f'.repeat(24), cluster, sets: [config, shard] });
    await expect(settle(config, of([{ _id: 'one', host: 'rs0/elsewhere:1' }]))).rejects.toThrow(
      'shard one is rs0/gone:1, and was rs0/elsewhere:1',
    );
    await settle(config, of(shards));
    await settle(shard, of(shards));
    await expect(settle(shard, of(shards))).rejects.toThrow(`${now}, not rs0/gone:2`);
    await withServer(async (client) => {
      expect(await client.db('config').collection('shards').find().toArray()).toEqual([
        { _id: 'one', host: now, state: 1 },
      ]);
      expect(await client.db('admin').collection('system.version').findOne({ _id: identity._id })).toEqual({
        ...identity,
        configsvrConnectionString: now,
      });
    });
  });

  async function settle(
    of: MongodbSetRecord,
    more?: {
      readonly newSet: string;
      readonly cluster?: MongodbRecord['shards'];
      readonly sets?: readonly MongodbSetRecord[];
    },
  ): Promise<void> {
    await runCommand(['rm', '-rf', join(place.staging, 'mongod')]);
    const signal = new AbortController().signal;
    const { newSet, cluster: shards = null, sets = [of] } = more ?? {};
    const topology = shards === null ? 'replica-set' : 'sharded';
    const all: MongodbRecord = { engine: 'mongodb', database, topology, shards, balancer: null, sets };
    await settleIdentity(
      siteWith(shards === null ? undefined : of.set),
      'here',
      { database: all, record: of, place, root, ...(newSet !== undefined && { newSet }) },
      { signal, onProcess: () => undefined },
    );
  }

  function engineNow(): MongodbEngine {
    const engine = site.databases[database]?.engine;
    if (engine?.kind !== 'mongodb') throw new Error('no MongoDB');
    return engine;
  }

  function siteWith(replicaSet: string | undefined): Site {
    const engine = engineNow();
    const members = Object.entries(engine.members).map(([name, member]): [string, MongodbMember] => [
      name,
      { ...member, ...(replicaSet !== undefined && { replicaSet }) },
    ]);
    return {
      ...site,
      databases: { [database]: { usedBy: [], engine: { ...engine, members: Object.fromEntries(members) } } },
    };
  }

  async function withConfig(work: (configs: Collection) => Promise<void>): Promise<void> {
    await withServer((client) => work(client.db('local').collection('system.replset')));
  }

  /** As this user, to whom what it writes belongs. */
  async function withServer(work: (client: MongoClient) => Promise<void>): Promise<void> {
    const socket = join(place.staging, 's.sock');
    await maintainScratch({ scratchDir: data, command: nativeMongod, listen: { socket } }, work);
    await runCommand(['chown', '-R', `${owner}:${owner}`, data]);
  }
});
