import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MongoClient } from 'mongodb';
import { runCommand } from '../activities/system/command.ts';
import { createCleanup } from '../demo/local/cleanup.ts';
import { mountFileSystem } from '../demo/local/file-system.ts';
import { acceptsConnections, type Member } from '../demo/local/mongodb/server.ts';
import { startDevServer } from '../demo/local/temporal.ts';
import { waitFor } from '../demo/local/wait.ts';
import { searchAttributes } from '../workflows/messages.ts';
import { fillMongodb } from './databases.ts';
import { command, host, main, startCopiedSet, writeCopySite, type CopiedSet } from './copy-rig.ts';
import { median, seconds } from './figures.ts';

/**
 * `node dist/bench/downtime.js [MB] [rounds]`, as root: how long a database (a replica set of one member, the native
 * mongod) gives no answer while it is backed up, from the last query that was answered to the first that is again. Each
 * way of `copy-by` in a whole run with Temporal, control and agent; beside it a bare stop and start, and a script (stop,
 * `tar -czf`, start), of the same server. In turn; medians.
 */
const sizeMb = Number(process.argv[2] ?? 300);
const rounds = Number(process.argv[3] ?? 3);
const askEveryMs = 2;
const script = 'stop, tar -czf, start';
const cleanup = createCleanup();

try {
  await compare();
} finally {
  await cleanup.run();
}

async function compare(): Promise<void> {
  const sets = await startSets();
  process.stdout.write(
    `${sizeMb} MB of documents in each of ${sets.map(({ database }) => database).join(', ')}\n`,
  );
  const run = await startAll(sets);
  const arms = sets.flatMap((set) => [
    { set, name: `${set.database}: bare stop + start`, work: () => bare(set, null) },
    { set, name: `${set.database}: coldbackup, copy-by ${set.copyBy}`, work: () => run(set.database) },
    // It takes as long on all of them.
    ...(set.copyBy === 'stream' ? [{ set, name: script, work: () => bare(set, tarGz) }] : []),
  ]);
  const times = new Map<string, number[]>();
  for (let round = 1; round <= rounds; round++)
    for (const { set, name, work } of arms) {
      const { downMs, tookMs } = await downtimeOf(set, work);
      times.set(name, [...(times.get(name) ?? []), downMs]);
      process.stdout.write(
        `round ${round}: ${name.padEnd(44)} down ${seconds(downMs)} of ${seconds(tookMs)}\n`,
      );
    }
  process.stdout.write(
    '\nmedians                     down     ÷ bare stop+start   ÷ stop, tar -czf, start\n',
  );
  const scriptMs = median(times.get(script) ?? []);
  for (const { database, copyBy } of sets) {
    const of = (arm: string) => median(times.get(`${database}: ${arm}`) ?? []);
    const downMs = of(`coldbackup, copy-by ${copyBy}`);
    process.stdout.write(
      `${database.padEnd(26)}  ${seconds(downMs)}   ${(downMs / of('bare stop + start')).toFixed(2).padEnd(18)}  ${(downMs / scriptMs).toFixed(3)}\n`,
    );
  }
}

async function startSets(): Promise<readonly CopiedSet[]> {
  const room = { sizeMb: 6 * sizeMb + 2_048 };
  const xfs = await mountFileSystem(cleanup, 'xfs', room);
  const btrfs = await mountFileSystem(cleanup, 'btrfs', room);
  const folder = (name: string) => {
    mkdirSync(name, { recursive: true });
    return name;
  };
  const places = {
    reflink: () => folder(join(xfs, 'reflink')),
    btrfs: async () => {
      await runCommand(['btrfs', 'subvolume', 'create', join(btrfs, 'btrfs')]);
      return join(btrfs, 'btrfs');
    },
    copy: () => cleanup.folder(),
    stream: () => cleanup.folder(),
  };
  const sets: CopiedSet[] = [];
  for (const [copyBy, dataIn] of Object.entries(places)) {
    const copies = copyBy === 'copy' ? { copies: await cleanup.folder() } : {};
    const one = await startCopiedSet(cleanup, {
      database: `by-${copyBy}`,
      members: 1,
      copyBy,
      dataIn,
      ...copies,
    });
    await fillMongodb(one.set.uri, sizeMb);
    sets.push(one);
  }
  return sets;
}

/** @returns what runs the procedure of a set, and waits for its end. */
async function startAll(sets: readonly CopiedSet[]): Promise<(procedure: string) => Promise<void>> {
  const site = await writeCopySite(cleanup, sets);
  const args = Object.values(searchAttributes).flatMap((name) => ['--search-attribute', `${name}=Keyword`]);
  const server = await startDevServer({ command: command('temporal'), args });
  cleanup.add(() => server.stop());
  const env = { TEMPORAL_ADDRESS: server.address };
  const start = async (...words: string[]) => {
    const logFile = join(await cleanup.folder(), 'log');
    const started = await cleanup.start([...main, ...words], { env, logFile });
    await waitFor(() => started.output().includes(' ready"'), {
      what: words.join(' '),
      withinMs: 60_000,
      unless: () => (started.exit() ? started.output() : undefined),
    });
  };
  await start('control', site.sites);
  await start('agent', site.file, '--host', host, '--state', site.state);
  return async (procedure) => {
    const argv = [...main, 'run', 'copies', procedure, '--wait', '--again'];
    const { exitCode, stdout } = await runCommand(argv, { env, acceptExit: [0, 1, 2, 3, 4] });
    if (exitCode !== 0) throw new Error(`the run of ${procedure} ended with ${exitCode}: ${stdout}`);
  };
}

/** From the last answer before to the first one after, as a client sees it that never stops asking. */
async function downtimeOf(
  { set }: CopiedSet,
  work: () => Promise<void>,
): Promise<{ downMs: number; tookMs: number }> {
  await set.untilHealthy();
  const asking = { ended: false };
  const answers: number[] = [];
  const client = askingEnds(set.members, asking, answers);
  await waitFor(() => answers.length > 10, { what: 'answers before', withinMs: 60_000 });
  const beganMs = performance.now();
  await work();
  const endedMs = performance.now();
  await waitFor(() => (answers.at(-1) ?? 0) > endedMs, { what: 'answers after', withinMs: 120_000 });
  asking.ended = true;
  await client;
  const gaps = answers.slice(1).map((at, index) => at - (answers[index] ?? at));
  return { downMs: Math.max(...gaps), tookMs: endedMs - beganMs };
}

async function askingEnds(
  [member]: readonly Member[],
  asking: { ended: boolean },
  answers: number[],
): Promise<void> {
  if (member === undefined) throw new Error('a set without members');
  let client: MongoClient | null = null;
  while (!asking.ended) {
    try {
      if (client === null) {
        if (!(await acceptsConnections(member.port))) throw new Error('down');
        client = await MongoClient.connect(member.uri, {
          serverSelectionTimeoutMS: 100,
          socketTimeoutMS: 1_000,
        });
      }
      // Of the elected primary, whom an application waits for. It only reads: nobody may write after the marker.
      await client.db('bench').collection('documents').findOne({});
      const { isWritablePrimary } = await client.db('admin').command({ hello: 1 });
      if (isWritablePrimary !== true) continue;
      answers.push(performance.now());
    } catch {
      await client?.close(true).catch(() => undefined);
      client = null;
    }
    await sleep(askEveryMs);
  }
  await client?.close();
}

async function bare({ set }: CopiedSet, between: ((data: string) => Promise<void>) | null): Promise<void> {
  for (const member of set.members) {
    await set.stopMember(member);
    await between?.(member.dataDir);
    await set.startMember(member);
  }
  await set.untilHealthy();
}

async function tarGz(data: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'coldbackup-bench-'));
  try {
    await runCommand(['tar', '-czf', join(folder, 'data.tar.gz'), '-C', data, '.']);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
