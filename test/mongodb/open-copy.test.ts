import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createMongodbActivities } from '../../activities/mongodb/activities.ts';
import { fingerprintOf } from '../../activities/mongodb/fingerprint.ts';
import { openCopy } from '../../activities/mongodb/open-copy.ts';
import type { Optime } from '../../model/ledger.ts';
import type { Member, ReplicaSet, Running } from '../support/mongodb.ts';
import { freePort } from '../support/ports.ts';
import { waitFor } from '../support/processes.ts';
import {
  as,
  createBackupUser,
  database,
  failureOf,
  host,
  nativeMongod,
  runAhead,
  siteOf,
  startTestSet,
} from './fixture.ts';

/** Before and after the moment from which the secondaries lagged. */
const early = 2_300;
const late = 300;

let set: ReplicaSet & Running;
let folder: string;
let marker: Optime;
let primary: Member;
let secondary: Member;
let print: unknown;

/** A primary that stopped cleanly with more in its oplog than in its stable checkpoint, and a secondary that lagged. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coldbackup-test-'));
  set = await startTestSet();
  await createBackupUser(set.uri, ['coldbackupMember'], { members: 3 });
  const site = await siteOf(folder, { members: set.members });
  const ask = createMongodbActivities({
    site,
    host,
    heartbeat: () => undefined,
    signal: () => new AbortController().signal,
  });
  const collection = { database: 'vitam', name: 'docs' };
  const ahead = await runAhead(set, { collection, early, late });
  ({ primary, marker } = ahead);
  secondary = ahead.others[0] ?? primary;
  print = await ask.mongodbFingerprint({ site: 'test', database, member: primary.name, marker });
  await as(primary.uri, (admin) => admin.command({ shutdown: 1, force: true, timeoutSecs: 0 })).catch(
    () => undefined,
  );
  expect(await exitCode(primary)).toBe(0);
  await set.stopMember(secondary);
  expect(await exitCode(secondary)).toBe(0);
});

afterAll(async () => {
  await set.stop();
  await rm(folder, { recursive: true, force: true });
});

test('opened as a plain standalone server, a copy lacks what its checkpoint lacked', async () => {
  const scratch = join(folder, 'naive');
  await cp(primary.dataDir, scratch, { recursive: true });
  const port = await freePort();
  const [file = '', ...args] = nativeMongod;
  const naive = spawn(
    file,
    [...args, '--dbpath', scratch, '--port', String(port), '--bind_ip', '127.0.0.1', '--nounixsocket'],
    { stdio: 'ignore' },
  );
  try {
    const seen = await waitFor(() => count(`mongodb://127.0.0.1:${port}`), {
      what: 'the naive one',
      withinMs: 30_000,
    });
    expect(seen).toBe(early);
  } finally {
    naive.kill();
    await once(naive, 'exit');
  }
});

test('opened as it should be, it holds all that was acknowledged, with the same fingerprint, as a server of its own', async () => {
  const before = await readdir(primary.dataDir);
  const copy = await open(primary, 'opened', marker);
  try {
    expect(await count(copy.uri)).toBe(early + late);
    await as(copy.uri, async (admin, client) => {
      expect(await fingerprintOf(client)).toEqual(print);
      expect((await admin.command({ hello: 1 }))['setName']).toBeUndefined();
      const names = await client.db('local').listCollections({}, { nameOnly: true }).toArray();
      expect(names.map((c) => c.name)).not.toContain('system.replset');
      await client.db('vitam').collection('docs').insertOne({ it: 'can be written' });
    });
  } finally {
    await copy.stop();
  }
  expect(await readdir(primary.dataDir)).toEqual(before);
});

test('opened to look alone, one start shows all that was acknowledged, and nothing can be written', async () => {
  const copy = await open(primary, 'looked', marker, { readOnly: true });
  try {
    expect(await count(copy.uri)).toBe(early + late);
    await as(copy.uri, async (_, client) => {
      expect(await fingerprintOf(client)).toEqual(print);
      await expect(client.db('vitam').collection('docs').insertOne({ it: 'cannot' })).rejects.toThrow();
    });
  } finally {
    await copy.stop();
  }
});

test('a copy that ends before the marker is refused: a secondary that lagged stopped cleanly too', async () => {
  const { message, nonRetryable } = await failureOf(open(secondary, 'lagged', marker));
  expect(message).toContain(`before the marker ${marker.ts}`);
  expect(nonRetryable).toBe(true);
});

test('a copy of a server that did not stop cleanly is refused before anything is opened', async () => {
  const [running] = set.members.filter((m) => m.name !== primary.name && m.name !== secondary.name);
  const { message } = await failureOf(open(running ?? primary, 'running', marker));
  expect(message).toContain('its mongod.lock is not empty');
});

async function open(member: Member, name: string, at: Optime, how: { readOnly?: boolean } = {}) {
  return openCopy({
    archiveDir: member.dataDir,
    scratchDir: join(folder, name),
    command: nativeMongod,
    port: await freePort(),
    marker: at,
    ...how,
  });
}

function count(uri: string): Promise<number> {
  return as(uri, (_, client) => client.db('vitam').collection('docs').countDocuments());
}

async function exitCode(member: Member): Promise<unknown> {
  const exit = await waitFor(() => set.exitOf(member), { what: `${member.name} to end`, withinMs: 60_000 });
  return exit.code;
}
