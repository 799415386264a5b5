import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { ColdbackupClient } from '../../client/index.ts';
import { startAll, type Running } from '../cli/coldbackup.ts';
import { createMiniSite, type MiniSite } from '../cli/mini-site.ts';
import { createCleanup, sendSignal, waitFor, type Started } from '../support/processes.ts';

const asFound = { web: 'running', worker: 'running', archive: 'running', spare: 'stopped' };
const startedOnceMore = { web: 2, worker: 2, archive: 2, spare: 0 };

/** Ended as systemd ends them (SIGTERM), and started again, as an upgrade does. */
describe('control and agents are replaced in the middle of a night', () => {
  const cleanup = createCleanup();
  let site: MiniSite;
  let all: Running;
  let client: ColdbackupClient;

  beforeEach(async () => {
    site = await createMiniSite(cleanup);
    all = await startAll(cleanup, site);
    client = await ColdbackupClient.connect({ address: all.server.address });
    cleanup.add(() => client.close());
  }, 120_000);
  afterEach(cleanup.run);

  test('all of them at once: no change is lost, none is made twice, and the run ends complete', async () => {
    site.setBusy(1);
    const run = await client.start('mini', 'nightly');
    await waitFor(async () => (await client.progress('mini')).steps[1]?.state === 'waiting', {
      what: 'the wait',
      withinMs: 60_000,
    });
    await Promise.all([all.control, ...Object.values(all.agents)].map(endedBySystemd));
    await Promise.all([all.startControl(), ...site.hosts.map((host) => all.startAgent(host))]);
    site.setBusy(0);

    expect(await client.result(run)).toMatchObject({ outcome: 'complete', notBack: [], warnings: [] });
    expect(await site.services()).toEqual(asFound);
    expect(site.starts()).toEqual(startedOnceMore);
  }, 120_000);

  test('an agent in a copy: the copy is ended and done again at once, and the set is whole', async () => {
    const folder = dirname(dirname(site.file));
    await writeLarge(join(folder, 'data', 'large'), 600);
    const run = await client.start('mini', 'nightly');
    const journal = join(site.state, 'mini', 'db-1', 'journal.jsonl');
    await waitFor(() => processesIn(journal).length > 2, { what: 'the copy', withinMs: 60_000 });
    // It would end well in the time that an agent has for that.
    const processes = processesIn(journal);
    for (const pid of processes) sendSignal(pid, 'SIGSTOP');
    const agent = all.agents['db-1'];
    if (agent === undefined) throw new Error('no agent of db-1');
    await endedBySystemd(agent);
    expect(processes.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([]);
    const restartedAt = Date.now();
    await all.startAgent('db-1');

    const report = await client.result(run);
    expect(report).toMatchObject({ outcome: 'complete', notBack: [] });
    const manifest = await client.setShow('mini', report.sets[0]?.set.id ?? '');
    const copyBeganMs = Date.parse(manifest.artifacts[0]?.startedAt ?? '');
    expect(copyBeganMs).toBeGreaterThan(restartedAt);
    // Not after the five minutes that a copy's heartbeat may be away.
    expect(copyBeganMs - restartedAt).toBeLessThan(60_000);
    expect((await client.setVerify('mini', manifest.set.id)).flatMap(({ problems }) => problems)).toEqual([]);
    expect(await site.services()).toEqual(asFound);
    expect(site.starts()).toEqual(startedOnceMore);
  }, 180_000);
});

async function endedBySystemd(started: Started): Promise<void> {
  started.kill('SIGTERM');
  await waitFor(() => started.exit() !== undefined, { what: 'a process to end', withinMs: 30_000 });
  expect(started.exit()).toMatchObject({ code: 0 });
}

/** Of the copies that this host has under way. */
function processesIn(journal: string): readonly number[] {
  if (!existsSync(journal)) return [];
  return readFileSync(journal, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('{"r":"process"'))
    .map((line) => (JSON.parse(line) as { pid: number }).pid);
}

async function writeLarge(path: string, megabytes: number): Promise<void> {
  const file = await open(path, 'w');
  const block = randomBytes(1_000_000);
  for (let index = 0; index < megabytes; index++) {
    block.writeUInt32LE(index, index % 1_000);
    await file.write(block);
  }
  await file.close();
}
