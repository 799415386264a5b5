import { readFileSync } from 'node:fs';
import { chmod, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Document } from 'mongodb';
import { createStoreActivities } from '../../activities/stores/activities.ts';
import { runCommand } from '../../activities/system/command.ts';
import { makeMariadb, query, whileRunning } from '../../bench/mariadb.ts';
import { deploy } from '../../demo/local/mongodb/deployment.ts';
import { describeSet, launchSet } from '../../demo/local/mongodb/replica-set.ts';
import type { Optime } from '../../model/ledger.ts';
import type { Artifact, DatabaseRecord, MongodbSetRecord } from '../../model/manifest.ts';
import type { Encryption, Store } from '../../model/site.ts';
import { locate, onPath } from '../../scripts/components.mjs';
import { isRoot, picture } from '../archive/support.ts';
import { as, nativeMongod, noteIn, runAhead, startTestSet } from '../mongodb/fixture.ts';
import { makeRepository, noRestic } from '../stores/rigs/restic.ts';
import { copyTo, folderOf, manifestOf, setOf, siteOf } from '../stores/support.ts';
import { freePort } from '../support/ports.ts';
import { createCleanup, isAlive, sendSignal, waitFor, type Cleanup } from '../support/processes.ts';
import { commandOf } from '../support/programs.ts';

const page = readFileSync('docs/restore-by-hand.md', 'utf8');
const set = setOf('2026-11-21T092139Z-01a1fd69');
const files = 'uploads/files.tar.zst';
const copy = 'orders/127.0.0.1_27917.tar.zst';

const missing = locate('age') === undefined ? 'age is not there: node scripts/setup.mjs age' : null;
if (missing !== null) console.warn(`section 7 of docs/restore-by-hand.md is not tested: ${missing}`);
const noMariadb = ['mariadbd', 'mariadb', 'mariadb-install-db'].every(onPath)
  ? null
  : 'MariaDB is not there: node scripts/setup.mjs mariadb';
if (noMariadb !== null) console.warn(`section 6 of docs/restore-by-hand.md is not tested: ${noMariadb}`);

describe('the commands of docs/restore-by-hand.md, taken out of the page', () => {
  const cleanup = createCleanup();
  let folder = '';
  let data = '';
  let places: Places = { SET: '', NEW: '', DATA: '' };
  beforeEach(async () => {
    folder = await cleanup.folder();
    data = join(folder, 'srv', 'shop', 'uploads');
    places = {
      SET: folderOf(join(folder, 'store'), set),
      NEW: join(folder, 'restore'),
      DATA: data,
      KEY: join(folder, 'age.key'),
    };
    await mkdir(data, { recursive: true });
    await mkdir(join(folder, 'store'));
    const script = `
      mkdir -p 'a b/empty'; printf first > 'a b/first file.txt'; ln 'a b/first file.txt' hardlink.jpg
      ln -s 'a b/first file.txt' link; printf odd > $'new\\nline \\\\'; printf bytes > $'\\xff\\xfe'
      head -c 3000000 /dev/urandom > photo; truncate -s 2M sparse; chmod 0500 'a b'; chmod 0640 photo
      touch -d '2001-02-03 04:05:06.789 UTC' photo; setfattr -n user.mark -v yes photo || true
      ${isRoot ? 'chown 1234:4321 photo; setfattr -n security.mark -v yes photo || true' : ''}`;
    await runCommand(['bash', '-c', script], { cwd: data });
  });
  afterEach(cleanup.run);

  test('say all that they print in the page, and put every tree back as it was', async () => {
    await publish(folder, data);
    const before = await picture(data);
    await writeFile(join(data, 'photo'), 'damaged');
    const { exitCode, printed } = await run(commandsOf(1, 2), places);
    expect(printed).toEqual(commandsOf(1, 2).map(({ output }) => output));
    expect(exitCode).toBe(0);
    expect(await picture(data)).toBe(before);
    expect(await readFile(join(`${data}.before`, 'photo'), 'utf8')).toBe('damaged');
    expect(await readFile(join(places.NEW, 'one', data, 'a b', 'first file.txt'), 'utf8')).toBe('first');
    expect(await readdir(join(places.NEW, 'one', data))).toEqual(['a b']);
  });

  test.each([files, `${files}.files`, copy, `${copy}.files`])('find one flipped bit in %s', async (name) => {
    await publish(folder, data);
    await flip(join(places.SET, name));
    const { exitCode, printed } = await run(commandsOf(1), places);
    expect(exitCode).not.toBe(0);
    expect(printed.join('')).toContain(`${name}: FAILED\n`);
  });

  test('find one flipped bit, and a file that is gone, in what was unpacked', async () => {
    await publish(folder, data);
    const unpack = commandsOf(2).findIndex(({ command }) => command.includes('tar -x'));
    const check = commandsOf(2).slice(unpack + 1, unpack + 2);
    expect((await run(commandsOf(2).slice(0, unpack + 1), places)).exitCode).toBe(0);
    expect((await run(check, places)).exitCode).toBe(0);
    const restored = join(places.NEW, 'uploads', data);
    const photo = await readFile(join(restored, 'photo'));
    await flip(join(restored, 'photo'));
    expect(await run(check, places)).toMatchObject({
      exitCode: 1,
      printed: [expect.stringContaining('photo: FAILED')],
    });
    await writeFile(join(restored, 'photo'), photo);
    expect((await run(check, places)).exitCode).toBe(0);
    await rm(join(restored, 'photo'));
    expect((await run(check, places)).exitCode).toBe(1);
  });

  (missing === null ? test : test.skip)(
    'tell an encrypted set, decrypt it, and find what was flipped in it',
    async () => {
      const key = places['KEY'] ?? '';
      await runCommand(['age-keygen', '-o', key]);
      const recipient = (await runCommand(['age-keygen', '-y', key])).stdout.trim();
      await publish(folder, data, plainStore(folder, { recipients: [recipient] }));
      const [asks] = commandsOf(1).slice(-1);
      expect((await run([asks ?? nothing], places)).printed).toEqual(['age-enc\n']);
      const { printed } = await run(commandsOf(7), places);
      expect(printed).toEqual(commandsOf(7).map(({ output }) => output));
      expect(await picture(join(places.NEW, 'uploads', data))).toBe(await picture(data));
      await flip(join(places.SET, files));
      expect((await run(commandsOf(1), places)).exitCode).not.toBe(0);
    },
  );

  (noRestic === null ? test : test.skip)('fetch a set out of a repository of restic', async () => {
    const repository = await makeRepository(cleanup);
    await publish(folder, data, repository.spec);
    const own = {
      ...places,
      REPO: repository.spec.repository,
      PASSWORD: join(repository.folder, 'password'),
    };
    const name = commandsOf(8)
      .find(({ command }) => command.startsWith('NAME='))
      ?.command.slice(5);
    const fetched = await run(commandsOf(8), { ...own, NAME: name ?? '' });
    expect(fetched.printed).toEqual(commandsOf(8).map(({ output }) => output));
    expect(fetched.exitCode).toBe(0);
    expect((await run(commandsOf(1), places)).printed).toEqual(commandsOf(1).map(({ output }) => output));
  });

  test('are all tested, but for those that need a mongos', () => {
    const tested = new Set(commandsOf(0, 1, 2, 3, 4, 5, 6, 7, 8));
    const others = allCommands.filter((each) => !tested.has(each));
    expect(others.map(({ command }) => command.split(' ')[0])).toEqual([
      ...['mongos', 'mongosh', 'grep', 'mongosh'],
    ]);
    const named = [...tested].flatMap(({ command }) => /^([A-Z]+)=/.exec(command)?.slice(1) ?? []);
    expect([...new Set(named)]).toEqual([
      ...['SET', 'NEW', 'DATA', 'PORT', 'DBPATH', 'FIRST', 'SECOND', 'CONFIGPATH', 'SHARDPATH', 'CONFIG'],
      ...['SHARD', 'DATADIR', 'KEY', 'REPO', 'PASSWORD', 'NAME'],
    ]);
  });
});

describe('the commands of docs/restore-by-hand.md for databases, on copies of real servers', () => {
  const cleanup = createCleanup();
  let folder = '';
  let places: Places = { SET: '', NEW: '', DATA: '' };
  beforeEach(async () => {
    folder = await cleanup.folder();
    const tools = join(folder, 'tools');
    places = {
      ...{ SET: folderOf(join(folder, 'store'), set), NEW: join(folder, 'restore'), DATA: '' },
      ...{ PORT: `${await freePort()}`, PATH: `${tools}${delimiter}${process.env['PATH'] ?? ''}` },
    };
    for (const name of ['store', 'restore', 'tools']) await mkdir(join(folder, name));
    const programs = { mongod: nativeMongod, mongosh: commandOf('mongo') };
    for (const [name, argv] of Object.entries(programs)) {
      await writeFile(join(tools, name), `#!/bin/sh\nexec ${argv.join(' ')} "$@"\n`);
      await chmod(join(tools, name), 0o755);
    }
    cleanup.add(() => endServersIn(places.NEW));
  });
  afterEach(cleanup.run);

  test('open a copy of a standalone server, which has every document', async () => {
    const data = join(folder, 'mongodb');
    await makeStandalone(data, Number(places['PORT']));
    await publishAll(plainStore(folder), [{ artifact: copy, root: data, record: recordOf() }]);
    await expectAsShown(commandsOf(3), { ...places, DBPATH: data });
    expect(await picture(join(places.NEW, copy.replace('.tar.zst', ''), data))).toBe(await picture(data));
  });

  test('replay the oplog of the copy of a member, and make it a replica set of other hosts', async () => {
    const carts = await startTestSet({ members: 2, auth: false });
    cleanup.add(() => carts.stop());
    const collection = { database: 'shop', name: 'carts' };
    const { primary, marker } = await runAhead(carts, { collection, early: 2_300, late: 300 });
    await carts.stopMember(primary);
    const artifact = 'carts/carts.tar.zst';
    const record = recordOf({ set: 'carts', role: 'replica-set', artifact, marker });
    await publishAll(plainStore(folder), [{ artifact, root: primary.dataDir, record }]);
    await expectAsShown([...functionsOf(3), ...commandsOf(4)], {
      ...{ ...places, DBPATH: primary.dataDir },
      ...{ FIRST: `127.0.0.2:${await freePort()}`, SECOND: `127.0.0.3:${await freePort()}` },
    });
  });

  test('rewrite the copies of config servers and a shard, which find each other on other hosts', async () => {
    const { config, shard, markers } = await makeCluster(cleanup);
    const copies = [config, shard].map(({ name, root }, index) => {
      const artifact = `vitam-mongo/${name}.tar.zst`;
      const role = name === 'config' ? 'config' : 'shard';
      return {
        artifact,
        root,
        record: recordOf({ set: name, role, artifact, marker: markers[index] ?? null }),
      };
    });
    await publishAll(plainStore(folder), copies);
    const [there, shardThere] = [`127.0.0.2:${await freePort()}`, `127.0.0.3:${await freePort()}`];
    await expectAsShown([...functionsOf(3, 4), ...commandsOf(5)], {
      ...{ ...places, CONFIGPATH: config.root, SHARDPATH: shard.root },
      ...{ CONFIG: there, SHARD: shardThere },
    });
    await as(`mongodb://${there}/`, async (admin) => {
      // The config servers tell the shard of it, which asks them.
      await admin.command({ ...createDatabase('later'), writeConcern: { w: 'majority' } });
    });
    await as(`mongodb://${shardThere}/`, async (admin, client) => {
      await admin.command({ _flushDatabaseCacheUpdates: 'shop' });
      const cached = client.db('config').collection<Document & { _id: string }>('cache.databases');
      expect(await cached.find().sort({ _id: 1 }).toArray()).toMatchObject([
        { _id: 'later' },
        { _id: 'shop' },
      ]);
      expect(await admin.command({ shardingState: 1 })).toMatchObject({
        ...{ enabled: true, shardName: 'shard1', configServer: `config/${there}` },
      });
      expect(await client.db('shop').collection('units').countDocuments()).toBe(300);
    });
  });

  (noMariadb === null ? test : test.skip)('open a copy of a MariaDB, which has every row', async () => {
    const data = join(folder, 'mysql');
    const server = await makeMariadb(folder, data);
    await whileRunning(server, async () => {
      await query(server, 'create database shop; create table shop.bills (id int primary key, note text)');
      await query(server, "insert into shop.bills select seq, repeat('x', 200) from shop.seq_1_to_1000");
    });
    await publishAll(plainStore(folder), [{ artifact: 'bills/files.tar.zst', root: data }]);
    await expectAsShown(commandsOf(6), { ...places, DATADIR: data });
  });

  async function expectAsShown(commands: readonly Command[], where: Places): Promise<void> {
    const { printed, exitCode } = await run(commands, where);
    expect(printed).toEqual(commands.map(({ output }) => output));
    expect(exitCode).toBe(0);
  }
});

interface Places {
  readonly SET: string;
  readonly NEW: string;
  readonly DATA: string;
  readonly [name: string]: string;
}

interface Command {
  readonly command: string;
  /** As the page shows it. */
  readonly output: string;
}

const nothing: Command = { command: ':', output: '' };

const sections = page
  .split(/^(?=## \d)/m)
  .map((section) =>
    [...section.matchAll(/^```\n(.*?)^```$/gms)]
      .map(([, block = '']) => block)
      .map((block) => ({ needsMongos: block.includes('$ mongos '), commands: shownIn(block) })),
  );
const allCommands = sections.flat().flatMap(({ commands }) => commands);

/** Of the sections with these numbers, in this order; 0: before the first. */
function commandsOf(...numbers: readonly number[]): readonly Command[] {
  return numbers.flatMap((number) =>
    (sections[number] ?? []).flatMap(({ needsMongos, commands }) => (needsMongos ? [] : commands)),
  );
}

function functionsOf(...numbers: readonly number[]): readonly Command[] {
  return commandsOf(...numbers).filter(({ command }) => /^[a-z]+\(\)/.test(command));
}

function shownIn(block: string): readonly Command[] {
  return block
    .split(/^\$ /m)
    .slice(1)
    .map((text) => {
      const [shown = ''] = /^.*\n(> .*\n)*/.exec(text) ?? [];
      return { command: shown.trimEnd().replaceAll('\n> ', '\n'), output: text.slice(shown.length) };
    });
}

/** By a plain sh, as a reader would: only the first lines of the page, which say where everything is, are others. */
async function run(commands: readonly Command[], places: Places) {
  const mark = '--- next ---\n';
  const lines = Object.entries(places).map(([name, value]) => `${name}='${value}'`);
  const own = commands.filter(({ command }) => !/^[A-Z]+=/.test(command));
  const script = [
    ...lines,
    ...own.map(({ command }) => `{ ${command}\n} || exit\nprintf '%s' '${mark}'`),
  ].join('\n');
  const { stdout, exitCode } = await runCommand(['sh', '-uc', script], {
    acceptExit: [0, 1, 2],
    env: { LC_ALL: 'C' },
  });
  const printed = stdout.split(mark);
  if (exitCode === 0) printed.pop();
  // An assignment prints nothing.
  for (const [index, { command }] of commands.entries())
    if (/^[A-Z]+=/.test(command)) printed.splice(index, 0, '');
  return { exitCode, printed };
}

/** What the page shows: a tree of files, and what lies there as the copy of a server's folder does. */
async function publish(folder: string, data: string, store: Store = plainStore(folder)): Promise<void> {
  const orders = join(folder, 'mongodb');
  await mkdir(join(orders, 'journal'), { recursive: true });
  await writeFile(join(orders, 'WiredTiger.turtle'), 'WiredTiger version string\n'.repeat(1_000));
  await writeFile(join(orders, 'journal', 'log'), Buffer.alloc(100_000, 'entry'));
  await publishAll(store, [
    { artifact: files, root: data },
    { artifact: copy, root: orders, record: recordOf() },
  ]);
}

function plainStore(folder: string, encrypt?: Encryption): Store {
  const spec = {
    kind: 'directory',
    directory: join(folder, 'store'),
    shared: true,
    keeper: 'mongo-1',
  } as const;
  return { ...spec, ...(encrypt && { encrypt }) };
}

interface Copied {
  readonly artifact: string;
  readonly root: string;
  /** Absent: it is a tree of files. */
  readonly record?: MongodbSetRecord;
}

/** Made and published by the product. */
async function publishAll(store: Store, copies: readonly Copied[]): Promise<void> {
  const site = siteOf(store);
  const artifacts: Artifact[] = [];
  for (const { artifact, root } of copies) artifacts.push(await copyTo(site, 'mongo-1', set, artifact, root));
  const sets = copies.flatMap(({ record }) => record ?? []);
  const databases = copies.flatMap(({ artifact, record }): readonly DatabaseRecord[] => {
    const [database = ''] = artifact.split('/');
    if (record === undefined) return [{ engine: 'files', database }];
    if (record !== sets[0]) return [];
    const topology = sets.length > 1 ? 'sharded' : 'standalone';
    return [{ engine: 'mongodb', database, topology, shards: null, balancer: null, sets }];
  });
  const manifest = manifestOf(set, artifacts, { databases });
  await createStoreActivities({ site, host: 'mongo-1' }).publishSet({
    ...{ site: site.site, store: 'vault', manifest },
  });
}

function recordOf(changes: Partial<MongodbSetRecord> = {}): MongodbSetRecord {
  return {
    ...{ set: 'orders', role: 'standalone', member: '127.0.0.1:27917', artifact: copy, marker: null },
    ...{ version: '6.0.27', fcv: '6.0', options: {} },
    ...{ replicaSetConfig: null, shardIdentity: null, fingerprint: null },
    ...changes,
  };
}

async function makeStandalone(data: string, port: number): Promise<void> {
  await mkdir(data);
  const place = ['--dbpath', data, '--logpath', `${data}.log`];
  await runCommand([...nativeMongod, '--fork', ...place, '--bind_ip', '127.0.0.1', '--port', `${port}`]);
  const orders = Array.from({ length: 1_000 }, (_, n) => ({ n }));
  await as(`mongodb://127.0.0.1:${port}/`, (_, client) =>
    client.db('shop').collection('orders').insertMany(orders),
  );
  await runCommand([...nativeMongod, '--shutdown', '--dbpath', data]);
}

/** Config servers and a shard that know each other; without a router their own commands make them do so. Stopped. */
async function makeCluster(cleanup: Cleanup) {
  const parameters = ['shutdownTimeoutMillisForSignaledShutdown=500'];
  const cluster = await deploy({ auth: false, parameters }, async (deployment) => {
    const of = (name: string, role: 'configsvr' | 'shardsvr') =>
      describeSet(deployment, { mongod: nativeMongod, name, size: 1, role });
    const sets = { config: await of('config', 'configsvr'), shard: await of('shard1', 'shardsvr') };
    await Promise.all([
      launchSet(deployment, sets.config, 'configsvr'),
      launchSet(deployment, sets.shard, 'shardsvr'),
    ]);
    return sets;
  });
  cleanup.add(() => cluster.stop());
  const majority = { writeConcern: { w: 'majority' as const } };
  const sets = [cluster.config, cluster.shard];
  const [config, shard] = sets.map(({ name, members: [member] }) => {
    if (member === undefined) throw new Error(`${name} has no member`);
    return { name, member, root: member.dataDir };
  });
  if (config === undefined || shard === undefined) throw new Error('no cluster');
  await as(config.member.uri, async (admin) => {
    await admin.command({ _configsvrAddShard: `shard1/${shard.member.name}`, ...majority });
    await admin.command({ ...createDatabase('shop'), ...majority });
  });
  const markers: Optime[] = [];
  await as(shard.member.uri, (_, client) =>
    client
      .db('shop')
      .collection('units')
      .insertMany(Array.from({ length: 300 }, (__, n) => ({ n }))),
  );
  for (const { member } of [config, shard]) {
    markers.push(await noteIn(member, 'majority'));
    await cluster.stopMember(member);
  }
  return { config, shard, markers };
}

function createDatabase(name: string): Document {
  return { _configsvrCreateDatabase: name, primaryShardId: 'shard1' };
}

/** Those that a failed test has left. */
async function endServersIn(folder: string): Promise<void> {
  for (const name of await readdir(folder))
    for (const file of ['mongod.lock', 'pid']) {
      const pid = Number(await readFile(join(folder, name, file), 'utf8').catch(() => '0'));
      if (!(pid > 0) || !isAlive(pid)) continue;
      sendSignal(pid, 'SIGKILL');
      await waitFor(() => !isAlive(pid), { what: `${pid} to be gone`, withinMs: 10_000 });
    }
}

async function flip(path: string): Promise<void> {
  const bytes = await readFile(path);
  const middle = Math.floor(bytes.length / 2);
  bytes[middle] = (bytes[middle] ?? 0) ^ 1;
  await writeFile(path, bytes);
}
