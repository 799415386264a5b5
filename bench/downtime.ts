import { mkdirSync, readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { runCommand } from '../activities/system/command.ts';
import { createCleanup } from '../demo/local/cleanup.ts';
import { mountFileSystem } from '../demo/local/file-system.ts';
import { startDevServer } from '../demo/local/temporal.ts';
import { waitFor } from '../demo/local/wait.ts';
import { searchAttributes } from '../workflows/messages.ts';
import { command, host, main, writeCopySite, type CopiedSet, type CopiedTree } from './copy-rig.ts';
import { median, seconds } from './figures.ts';
import { startMariadb, startMongodb, type Asker, type Place, type Subject } from './subjects.ts';

/**
 * `downtime [mongodb|mariadb] [MB] [ROUNDS] [WAY…]`, as root: how long a database gives no answer while it is backed up, from
 * the last query that was answered to the first that is again. MongoDB: a replica set of one member, the native mongod;
 * MariaDB: a service that the procedure stops, and its data directory as a tree of files. Each way of `copy-by` in a whole
 * run with Temporal, control and agent; beside it a bare stop and start, and a script (stop, `tar -czf`, start), of the same
 * server. In turn; medians. What an arm has stored in the first round is unpacked, a server is started on it, and its content
 * compared with what the database answers: outside the time that is measured.
 */
const words = process.argv.slice(2);
const engine = words[0] === 'mariadb' ? 'mariadb' : 'mongodb';
const [sizeText = '300', roundsText = '3', ...asked] = words.filter((word) => word !== engine);
const [sizeMb, rounds] = [Number(sizeText), Number(roundsText)];
const ways = asked.length > 0 ? asked : ['reflink', 'btrfs', 'copy', 'stream'];
const askEveryMs = 2;
const script = 'stop, tar -czf, start';
const cleanup = createCleanup();

try {
  await compare();
} finally {
  await cleanup.run();
}

interface Run {
  backup(procedure: string): Promise<void>;
  /** The newest archive of its set. */
  artifactOf(database: string): Promise<string>;
  agentMemory(): string;
}

async function compare(): Promise<void> {
  const { subjects, run } = await startAll();
  process.stdout.write(
    `${sizeMb} MB in each ${engine} of ${subjects.map(({ database }) => database).join(', ')}\n`,
  );
  const archive = join(await cleanup.folder(), 'data.tar.gz');
  const arms = subjects.flatMap((subject, index) => [
    { subject, name: `${subject.database}: bare stop + start`, work: () => bare(subject), stored: null },
    {
      ...{ subject, name: `${subject.database}: coldbackup, copy-by ${subject.copyBy}` },
      work: () => run.backup(subject.database),
      stored: () => run.artifactOf(subject.database),
    },
    // It takes as long on all of them.
    ...(index === subjects.length - 1
      ? [{ subject, name: script, work: () => bare(subject, archive), stored: async () => archive }]
      : []),
  ]);
  const times = new Map<string, number[]>();
  for (let round = 1; round <= rounds; round++)
    for (const { subject, name, work, stored } of arms) {
      const { downMs, tookMs } = await downtimeOf(subject, work);
      times.set(name, [...(times.get(name) ?? []), downMs]);
      process.stdout.write(
        `round ${round}: ${name.padEnd(44)} down ${seconds(downMs)} of ${seconds(tookMs)}\n`,
      );
      if (round === 1 && stored !== null) await mustHold(subject, await stored());
    }
  process.stdout.write(
    '\nmedians                     down     ÷ bare stop+start   ÷ stop, tar -czf, start\n',
  );
  const scriptMs = median(times.get(script) ?? []);
  for (const { database, copyBy } of subjects) {
    const of = (arm: string) => median(times.get(`${database}: ${arm}`) ?? []);
    const downMs = of(`coldbackup, copy-by ${copyBy}`);
    process.stdout.write(
      `${database.padEnd(26)}  ${seconds(downMs)}   ${(downMs / of('bare stop + start')).toFixed(2).padEnd(18)}  ${(downMs / scriptMs).toFixed(3)}\n`,
    );
  }
  process.stdout.write(`memory of the agent after all of it: ${run.agentMemory()}\n`);
}

async function startAll(): Promise<{ subjects: readonly Subject[]; run: Run }> {
  const subjects: Subject[] = [];
  const sets: CopiedSet[] = [];
  const trees: CopiedTree[] = [];
  for (const place of await placesOf()) {
    if (engine === 'mariadb') {
      const { subject, tree } = await startMariadb(cleanup, place, sizeMb);
      subjects.push(subject);
      trees.push(tree);
    } else {
      const { subject, set } = await startMongodb(cleanup, place, sizeMb);
      subjects.push(subject);
      sets.push(set);
    }
  }
  return { subjects, run: await startColdbackup(sets, trees) };
}

async function placesOf(): Promise<readonly Place[]> {
  const room = { sizeMb: 6 * sizeMb + 2_048 };
  const folder = (name: string) => {
    mkdirSync(name, { recursive: true });
    return name;
  };
  const dataIn: Readonly<Record<string, () => Promise<string>>> = {
    reflink: async () => folder(join(await mountFileSystem(cleanup, 'xfs', room), 'reflink')),
    btrfs: async () => {
      const subvolume = join(await mountFileSystem(cleanup, 'btrfs', room), 'btrfs');
      await runCommand(['btrfs', 'subvolume', 'create', subvolume]);
      return subvolume;
    },
  };
  return Promise.all(
    ways.map(async (copyBy) => ({
      ...{ database: `by-${copyBy}`, copyBy, dataIn: dataIn[copyBy] ?? (() => cleanup.folder()) },
      ...(copyBy === 'copy' && { copies: await cleanup.folder() }),
    })),
  );
}

async function startColdbackup(sets: readonly CopiedSet[], trees: readonly CopiedTree[]): Promise<Run> {
  const site = await writeCopySite(cleanup, sets, trees);
  const args = Object.values(searchAttributes).flatMap((name) => ['--search-attribute', `${name}=Keyword`]);
  const server = await startDevServer({ command: command('temporal'), args });
  cleanup.add(() => server.stop());
  const env = { TEMPORAL_ADDRESS: server.address };
  const start = async (...argv: string[]) => {
    const logFile = join(await cleanup.folder(), 'log');
    const started = await cleanup.start([...main, ...argv], { env, logFile });
    await waitFor(() => started.output().includes(' ready"'), {
      what: argv.join(' '),
      withinMs: 60_000,
      unless: () => (started.exit() ? started.output() : undefined),
    });
    return started;
  };
  await start('control', site.sites);
  const agent = await start('agent', site.file, '--host', host, '--state', site.state);
  return {
    backup: async (procedure) => {
      const argv = [...main, 'run', 'copies', procedure, '--wait', '--again'];
      const { exitCode, stdout } = await runCommand(argv, { env, acceptExit: [0, 1, 2, 3, 4] });
      if (exitCode !== 0) throw new Error(`the run of ${procedure} ended with ${exitCode}: ${stdout}`);
    },
    artifactOf: async (database) => {
      const found = await readdir(join(site.store, 'copies', database), { recursive: true });
      const newest = found
        .filter((name) => name.endsWith('.tar.zst'))
        .sort()
        .at(-1);
      if (newest === undefined) throw new Error(`no set of ${database} in ${site.store}`);
      return join(site.store, 'copies', database, newest);
    },
    agentMemory: () => {
      const status = readFileSync(`/proc/${agent.pid}/status`, 'utf8');
      const of = (field: string) =>
        (Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)?.[1]) / 1024).toFixed(0);
      return `at the most ${of('VmHWM')} MB resident; now ${of('RssAnon')} MB its own and ${of('RssFile')} MB of files`;
    },
  };
}

/** From the last answer before to the first one after, as a client sees it that never stops asking. */
async function downtimeOf(
  subject: Subject,
  work: () => Promise<void>,
): Promise<{ downMs: number; tookMs: number }> {
  await subject.untilHealthy();
  const asking = { ended: false };
  const answers: number[] = [];
  const client = askingEnds(subject, asking, answers);
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

async function askingEnds(subject: Subject, asking: { ended: boolean }, answers: number[]): Promise<void> {
  let client: Asker | null = null;
  while (!asking.ended) {
    try {
      client ??= await subject.connect();
      if (await client.ask()) answers.push(performance.now());
    } catch {
      await client?.end().catch(() => undefined);
      client = null;
    }
    await sleep(askEveryMs);
  }
  await client?.end();
}

/** @param archive of the data, by `tar -czf`, while it is stopped. */
async function bare(subject: Subject, archive?: string): Promise<void> {
  await subject.stop();
  if (archive !== undefined) await runCommand(['tar', '-czf', archive, '-P', subject.data]);
  await subject.start();
  await subject.untilHealthy();
}

/** Nobody writes but the server itself: what it answers now is what it answered when it was stopped. */
async function mustHold(subject: Subject, archive: string): Promise<void> {
  const target = await cleanup.folder();
  await runCommand(['tar', '--extract', '--auto-compress', '--file', archive, '--directory', target]);
  const [stored, now] = [await subject.digestOf(join(target, subject.data)), await subject.digest()];
  if (stored !== now) throw new Error(`${archive} holds ${stored}, and ${subject.database} ${now}`);
  process.stdout.write(`         a server on what it stored answers the same\n`);
  await runCommand(['rm', '--recursive', target]);
}
