import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { readJournalState } from '../../activities/ledger/journal.ts';
import type { JournalRecord } from '../../activities/ledger/records.ts';
import { compareFingerprints } from '../../activities/mongodb/compare-fingerprints.ts';
import { fingerprintOf } from '../../activities/mongodb/fingerprint.ts';
import { openCopy } from '../../activities/mongodb/open-copy.ts';
import { runCommand } from '../../activities/system/command.ts';
import { host, startCopiedSet, writeCopySite, type CopiedSet } from '../../bench/copy-rig.ts';
import { cannotMount, mountFileSystem } from '../../demo/local/file-system.ts';
import type { Manifest } from '../../model/manifest.ts';
import { startAll, type Running } from '../cli/coldbackup.ts';
import { freePort } from '../support/ports.ts';
import { createCleanup, waitFor } from '../support/processes.ts';
import { as, nativeMongod } from './fixture.ts';

const reason = cannotMount();
if (reason !== null) console.warn(`members on xfs and btrfs are not copied: ${reason}`);
const documents = 2_000;

/** Real servers on real file systems, a real run: control, agent and Temporal as processes. */
(reason === null ? describe : describe.skip)('a member that is copied on its host', () => {
  const cleanup = createCleanup();
  const sets: Record<string, CopiedSet> = {};
  const original = process.env['PATH'] ?? '';
  let site: Awaited<ReturnType<typeof writeCopySite>>;
  let all: Running;
  /** While this file is there, a plain copy of a folder does not end; preflight tries a file. */
  let slow: string;

  beforeAll(async () => {
    const xfs = await mountFileSystem(cleanup, 'xfs', { sizeMb: 2_048 });
    const btrfs = await mountFileSystem(cleanup, 'btrfs', { sizeMb: 2_048 });
    const copies = await cleanup.folder();
    const inFolder = (index: number): string => {
      const data = join(xfs, `member-${index}`);
      mkdirSync(data);
      return data;
    };
    const subvolume = async (): Promise<string> => {
      await runCommand(['btrfs', 'subvolume', 'create', join(btrfs, 'data')]);
      return join(btrfs, 'data');
    };
    const made = await Promise.all([
      startCopiedSet(cleanup, { database: 'clones', members: 3, copyBy: 'reflink', dataIn: inFolder }),
      startCopiedSet(cleanup, { database: 'volumes', members: 1, copyBy: 'auto', dataIn: subvolume }),
      startCopiedSet(cleanup, {
        ...{ database: 'plain', members: 1, copyBy: 'copy', copies },
        dataIn: () => cleanup.folder(),
      }),
    ]);
    for (const one of made) {
      sets[one.database] = one;
      await insert(one);
    }
    site = await writeCopySite(cleanup, made);
    const tools = await cleanup.folder();
    slow = join(tools, 'slow');
    writeFileSync(
      join(tools, 'cp'),
      `#!/bin/sh\nPATH=${original}\ncp "$@" || exit\n[ -d "$5" ] || exit 0\nwhile [ -e ${slow} ]; do sleep 0.1; done\n`,
    );
    chmodSync(join(tools, 'cp'), 0o755);
    process.env['PATH'] = `${tools}:${original}`;
    all = await startAll(cleanup, site);
  }, 180_000);
  afterEach(() => rmSync(slow, { force: true }));
  afterAll(async () => {
    process.env['PATH'] = original;
    await cleanup.run();
  });

  test('of a replica set on xfs by clones: it is back before the archive begins, which holds the set as it was', async () => {
    const one = setOf('clones');
    expect(await all.coldbackup('run', 'copies', 'clones', '--wait')).toMatchObject({ code: 0 });
    await expectBackFirst(one);
    await expectContent(one);
  });

  test('of a set of one on btrfs by a snapshot of its subvolume, as auto finds, which its fingerprint is read of', async () => {
    const one = setOf('volumes');
    const { code, stdout } = await all.coldbackup('plan', 'copies', 'volumes');
    expect(code).toBe(0);
    expect(stdout).toContain('auto: btrfs, a read-only snapshot');
    expect(stdout).toContain('it is read of its copy, by mongod');
    expect(await all.coldbackup('run', 'copies', 'volumes', '--wait')).toMatchObject({ code: 0 });
    await expectBackFirst(one);
    await expectContent(one);
  });

  test('is brought back without its copy when the agent is killed in the middle of it', async () => {
    const one = setOf('plain');
    writeFileSync(slow, '');
    const ended = all.coldbackup('run', 'copies', 'plain', '--wait');
    let said: string | undefined;
    void ended.then(({ stdout, stderr }) => (said = stdout + stderr)).catch(() => undefined);
    const folder = one.copies ?? '';
    await waitFor(() => readdirSync(folder).length > 0 && stateOf().entries.size > 1, {
      what: 'the copy to be under way',
      withinMs: 60_000,
      unless: () => said,
    });
    const [copying] = await waitFor(
      () => notEmpty([...stateOf().entries.values()].flatMap((e) => e.processes)),
      {
        what: 'its process in the journal',
        withinMs: 10_000,
      },
    );
    all.agents[host]?.kill('SIGKILL');
    const place = ['--site', site.file, '--host', host, '--state', site.state];
    expect(await all.coldbackup('recover', ...place)).toMatchObject({ code: 0 });
    expect(readdirSync(folder)).toEqual([]);
    expect(existsSync(`/proc/${copying?.pid ?? 0}`)).toBe(false);
    expect(stateOf().claim).toBeNull();
    await one.set.untilHealthy();
    await all.coldbackup('abort', 'copies', 'plain', '--why', 'test');
  });

  function setOf(database: string): CopiedSet {
    const one = sets[database];
    if (one === undefined) throw new Error(`no set ${database}`);
    return one;
  }

  function stateOf() {
    return readJournalState(join(site.state, 'copies', host));
  }

  /** By the journal of its night: stopped, copied, started, then archived, then the copy removed. */
  async function expectBackFirst({ set, copies }: CopiedSet): Promise<void> {
    const lines = lastNight().map((record) => {
      if (record.r === 'intent') return `${record.change.kind} begun`;
      if (record.r === 'end') return `${record.result.found.kind} done`;
      if (record.r === 'undone') return record.did;
      return record.r;
    });
    const order = ['service-stopped begun', 'service done', 'snapshot-made begun', 'snapshot done'];
    expect(lines.filter((line) => !['claim', 'process', 'seal', 'epoch'].includes(line))).toEqual([
      ...order,
      ...['started', 'job', 'job-end'],
      ...(set.members.length === 1 ? ['job', 'job-end'] : []),
      'removed',
    ]);
    await set.untilHealthy();
    for (const { dataDir } of set.members)
      for (const folder of [copies ?? join(dataDir, '..')])
        expect(readdirSync(folder).filter((name) => name.startsWith(`${basename(dataDir)}.`))).toEqual([]);
  }

  function lastNight(): readonly JournalRecord[] {
    const closed = join(site.state, 'copies', host, 'closed');
    const last = readdirSync(closed).sort().at(-1) ?? '';
    const lines = readFileSync(join(closed, last), 'utf8').trim().split('\n');
    return lines.map((line) => JSON.parse(line) as JournalRecord);
  }

  /** Opened from the archive alone, by its names: as a restore would. */
  async function expectContent({ database, set }: CopiedSet): Promise<void> {
    const folder = join(site.store, 'copies', database);
    const [id = ''] = readdirSync(folder);
    const manifest = JSON.parse(readFileSync(join(folder, id, 'manifest.json'), 'utf8')) as Manifest;
    const record = manifest.databases[0];
    const copied = record?.engine === 'mongodb' ? record.sets[0] : undefined;
    const data = set.members.find(({ name }) => name === copied?.member)?.dataDir ?? '';
    const unpacked = await cleanup.folder();
    const archive = join(folder, id, copied?.artifact ?? '');
    await runCommand(['tar', '--zstd', '-xf', archive, '-C', unpacked]);
    const copy = await openCopy({
      archiveDir: join(unpacked, data),
      scratchDir: join(unpacked, 'scratch'),
      command: nativeMongod,
      port: await freePort(),
      marker: copied?.marker ?? null,
    });
    try {
      await as(copy.uri, async (_, client) => {
        expect(await client.db('shop').collection('orders').countDocuments()).toBe(documents);
        expect(copied?.fingerprintOf).toBe(set.members.length === 1 ? 'copy' : undefined);
        const taken = copied?.fingerprint ?? {};
        expect(await fingerprintOf(client)).toEqual(taken);
        await client
          .db('shop')
          .collection('orders')
          .updateOne({ n: 7 }, { $set: { text: '' } });
        expect(compareFingerprints(taken, await fingerprintOf(client))).toEqual([
          'shop.orders has other documents than at the backup',
        ]);
      });
    } finally {
      await copy.stop();
    }
  }
});

async function insert({ set }: CopiedSet): Promise<void> {
  await as(set.uri, (_, client) =>
    client
      .db('shop')
      .collection('orders')
      .insertMany(
        Array.from({ length: documents }, (__, n) => ({ n, text: 'x'.repeat(200) })),
        { writeConcern: { w: 'majority' } },
      ),
  );
}

function notEmpty<T>(items: readonly T[]): readonly T[] | null {
  return items.length > 0 ? items : null;
}
