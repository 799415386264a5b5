import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import type { MongoClient } from 'mongodb';
import { checkFingerprint, fingerprintCopy } from '../../activities/copies/fingerprint.ts';
import { makeCopy } from '../../activities/copies/make.ts';
import { copiedData, copyPlace, type CopyPlace } from '../../activities/copies/place.ts';
import { compareFingerprints } from '../../activities/mongodb/compare-fingerprints.ts';
import { assertColdCopyable, assertStillCold, copyExcludes } from '../../activities/mongodb/cold.ts';
import { createMongodbActivities } from '../../activities/mongodb/activities.ts';
import { checkGuard } from '../../activities/mongodb/guard.ts';
import { waitUntilMemberReady } from '../../activities/mongodb/readiness.ts';
import type { Argv, MongodbEngine, Site } from '../../model/site.ts';
import type { Member } from '../support/mongodb.ts';
import { freePort } from '../support/ports.ts';
import { runCommand } from '../../activities/system/command.ts';
import { as, database, failureOf, host, mongod7, nativeMongod, siteOf, uriOf } from './fixture.ts';

const never = new AbortController().signal;

let folder: string;
let member: Member;
let site: Site;
let server: ChildProcess | undefined;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coldbackup-test-'));
  member = await standalone('standalone', nativeMongod);
  site = await siteOf(folder, { members: [member], login: null });
});

afterEach(() => stop('SIGKILL'));

afterAll(() => rm(folder, { recursive: true, force: true }));

test('a standalone server is the case of one: known, described, ready, and without a marker', async () => {
  await start();
  const ask = activities();
  expect(await ask.mongodbTopology({ site: 'test', database })).toEqual({
    topology: 'standalone',
    sets: [{ set: member.name, role: 'standalone', members: [member.name], primary: member.name }],
    shards: null,
    balancer: null,
  });
  const input = { site: 'test', database, member: member.name };
  expect(await ask.mongodbDescribe(input)).toMatchObject({ replicaSetConfig: null, shardIdentity: null });
  expect(await ask.mongodbPrimary(input)).toEqual({ primary: member.name });
  expect((await failureOf(ask.mongodbMark({ ...input, note: 'a test' }))).message).toContain(
    'needs no marker',
  );
  const guard = { kind: 'mongodb-member', database, member: member.name, role: 'standalone' } as const;
  expect(await checkGuard(site, guard, { untilMs: Date.now() })).toBe('holds');
  expect(
    (await failureOf(checkGuard(site, { ...guard, role: 'primary' }, { untilMs: Date.now() }))).message,
  ).toContain('a standalone server, and not primary');
});

test('a server that stopped cleanly may be copied, and its mongod.lock is in the copy', async () => {
  await start();
  expect(await stop('SIGTERM')).toBe(0);
  const hold = await take();
  await assertStillCold(hold);
  await hold.release();
  expect(copyExcludes().some((pattern) => pattern.includes('mongod.lock'))).toBe(false);
});

test('while it is copied no mongod 6 can start on it, and afterwards it can', async () => {
  await start();
  await stop('SIGTERM');
  const hold = await take();
  const { message } = await failureOf(start());
  expect(message).toContain('ended with 100');
  expect(await readFile(member.logFile, 'utf8')).toContain('DBPathInUse');
  await assertStillCold(hold);
  await hold.release();
  await start();
});

test('while it is copied no mongod 7 can start on it', async () => {
  const seven = await standalone('seven', mongod7);
  await start(seven);
  expect(await stop('SIGTERM')).toBe(0);
  const hold = await assertColdCopyable(
    await siteOf(folder, { members: [seven], login: null }),
    database,
    seven.name,
  );
  expect((await failureOf(start(seven))).message).toContain('ended with 100');
  await assertStillCold(hold);
  await hold.release();
});

test('a server that was killed is refused: its files are no cold copy', async () => {
  await start();
  await stop('SIGKILL');
  const { message, nonRetryable } = await failureOf(take());
  expect(message).toContain('mongod.lock is not empty');
  expect(message).toContain('did not exit cleanly');
  expect(nonRetryable).toBe(true);
  await start();
  await stop('SIGTERM');
  await (await take()).release();
});

test('a running server is refused, even where its lock file looks empty', async () => {
  await start();
  expect((await failureOf(take())).message).toContain('mongod.lock is not empty');
  await writeFile(join(member.dataDir, 'mongod.lock'), '');
  const { message } = await failureOf(take());
  expect(message).toContain('a mongod runs on that directory');
});

test('a second copy of the same member is refused while the first holds it', async () => {
  await restartClean();
  const hold = await take();
  expect((await failureOf(take())).message).toContain('could not be taken');
  await hold.release();
  await (await take()).release();
});

test('files that change during the copy are found, also when the lock was gone around', async () => {
  await restartClean();
  const hold = await take();
  await utimes(join(member.dataDir, 'WiredTiger.wt'), new Date(), new Date());
  const { message } = await failureOf(assertStillCold(hold));
  expect(message).toContain('WiredTiger.wt');
  expect(message).toContain('it was not at rest');
  await hold.release();
  expect((await failureOf(assertStillCold(hold))).message).toContain('was lost during the copy');
});

test('a directory without the files of a whole server is refused', async () => {
  const data = join(folder, 'half');
  await mkdir(data);
  const half = await siteOf(folder, { members: [{ ...member, dataDir: data }], login: null });
  expect((await failureOf(assertColdCopyable(half, database, member.name))).message).toContain(
    'no mongod.lock',
  );
  await writeFile(join(data, 'mongod.lock'), '');
  expect((await failureOf(assertColdCopyable(half, database, member.name))).message).toContain(
    'there is no WiredTiger',
  );
});

test('its copy tells what it held: one changed document is noticed; opened once, it is opened no more', async () => {
  await start();
  const ask = activities();
  const collection = (client: MongoClient) => client.db('shop').collection('orders');
  await as(uriOf(member, null), (_, client) => collection(client).insertMany([{ n: 1 }, { n: 2 }]));
  const print = await ask.mongodbFingerprint({ site: 'test', database, member: member.name, marker: null });
  const [row] = await checkFingerprint(
    withMongod(nativeMongod),
    host,
    { database, member: member.name },
    never,
  );
  expect(row).toMatchObject({ verdict: 'go', detail: expect.stringContaining('by mongod 6.0.') });
  const [none] = await checkFingerprint(
    withMongod(['echo', 'db version v4.4.1']),
    host,
    { database, member: member.name },
    never,
  );
  expect(none).toMatchObject({ verdict: 'warning', detail: expect.stringContaining('none of that release') });
  await stop('SIGTERM');
  const before = await copy('before');
  expect(await read(before)).toEqual(print);
  await expect(read(before, 2)).rejects.toThrow('a copy is opened once');
  await start();
  await as(uriOf(member, null), (_, client) => collection(client).updateOne({ n: 2 }, { $set: { n: 3 } }));
  await stop('SIGTERM');
  expect(compareFingerprints(print, await read(await copy('after')))).toEqual([
    'shop.orders has other documents than at the backup',
  ]);
});

test('a copy with a link to the data itself is not opened: that is in use again', async () => {
  await restartClean();
  const { dataDir } = member;
  await rename(join(dataDir, 'journal'), join(dataDir, 'log'));
  await symlink(join(dataDir, 'log'), join(dataDir, 'journal'));
  try {
    await expect(read(await copy('linked'))).rejects.toThrow(`journal is a link to ${join(dataDir, 'log')}`);
  } finally {
    await rm(join(dataDir, 'journal'));
    await rename(join(dataDir, 'log'), join(dataDir, 'journal'));
  }
});

test('the patterns leave out the diagnostics and nothing that a restore needs', async () => {
  await restartClean();
  await mkdir(join(member.dataDir, 'diagnostic.data'), { recursive: true });
  await writeFile(join(member.dataDir, 'diagnostic.data', 'metrics.interim'), '');
  const { stdout } = await runCommand([
    'tar',
    ...copyExcludes().map((pattern) => `--exclude=${pattern}`),
    ...['--create', '--file', '/dev/null', '--verbose', '--directory', member.dataDir, '.'],
  ]);
  expect(stdout).not.toContain('diagnostic.data');
  for (const name of ['mongod.lock', 'WiredTiger.turtle', 'storage.bson'])
    expect(stdout).toContain(`./${name}`);
});

function take() {
  return assertColdCopyable(site, database, member.name);
}

async function restartClean(): Promise<void> {
  await start();
  await stop('SIGTERM');
}

async function standalone(name: string, mongod: readonly string[]): Promise<Member> {
  const port = await freePort();
  const dataDir = join(folder, name);
  const logFile = join(folder, `${name}.log`);
  await mkdir(dataDir);
  return {
    name: `127.0.0.1:${port}`,
    set: '',
    port,
    dataDir,
    logFile,
    pidFile: '',
    uri: `mongodb://127.0.0.1:${port}`,
    command: [
      ...mongod,
      ...[
        '--port',
        String(port),
        '--bind_ip',
        '127.0.0.1',
        '--nounixsocket',
        '--dbpath',
        dataDir,
        '--logpath',
        logFile,
      ],
      ...['--wiredTigerCacheSizeGB', '0.25', '--setParameter', 'diagnosticDataCollectionEnabled=false'],
      ...['--setParameter', 'shutdownTimeoutMillisForSignaledShutdown=500'],
    ],
  };
}

function activities() {
  return createMongodbActivities({ site, host, heartbeat: () => undefined, signal: () => never });
}

function withMongod(mongod: readonly string[]): Site {
  const engine = site.databases[database]?.engine as MongodbEngine;
  const databases = { [database]: { usedBy: [], engine: { ...engine, mongod: mongod as Argv } } };
  return { ...site, databases };
}

async function copy(id: string): Promise<CopyPlace> {
  const place = copyPlace(copiedData(site, { database, member: member.name }), 'copy', id);
  await makeCopy(place, { signal: never, onProcess: () => undefined });
  return place;
}

function read(place: CopyPlace, attempt = 1) {
  const of = { database, member: member.name, version: '6.0.0', marker: null };
  return fingerprintCopy(withMongod(nativeMongod), host, of, place, {
    ...{ attempt, signal: never, onProcess: () => undefined },
  });
}

async function start(which: Member = member): Promise<void> {
  const [file = '', ...args] = which.command;
  const child = spawn(file, args, { stdio: 'ignore' });
  server = child;
  const waiting = new AbortController();
  child.once('exit', (code) => {
    server = undefined;
    waiting.abort(new Error(`it ended with ${String(code)}`));
  });
  const of = await siteOf(folder, { members: [which], login: null });
  await waitUntilMemberReady(of, database, which.name, { withinMs: 60_000, signal: waiting.signal });
}

async function stop(signal: NodeJS.Signals): Promise<number | null> {
  if (!server) return null;
  const gone = once(server, 'exit');
  server.kill(signal);
  const [code] = (await gone) as [number | null];
  return code;
}
