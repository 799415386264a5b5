import { constants } from 'node:fs';
import { cp, lstat, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BSON, MongoClient, type Document } from 'mongodb';
import type { Optime } from '../../model/ledger.ts';
import { startProcess, type RunningProcess } from '../system/command.ts';
import { refusal, trouble } from './errors.ts';
import { optimeOf, optimeText, reached } from './optime.ts';
import { poll } from './poll.ts';

/** For the path of a socket to listen on: sun_path of unix(7) holds 107 bytes. */
export const longestSocketBytes = 107;
export const leastCacheBytes = 256 * 1024 * 1024;

export interface OpenCopyOptions extends Omit<OpenScratchOptions, 'listen'> {
  /** The unpacked artifact. It is read, never opened. */
  readonly archiveDir: string;
  readonly port: number;
}

export interface OpenScratchOptions {
  /** An unpacked artifact, or a copy of one: opening it changes it. It stays; whoever called removes it. */
  readonly scratchDir: string;
  /** How `mongod` is run: the start of its argument vector. Of the version that wrote the files. */
  readonly command: readonly string[];
  /** On 127.0.0.1; or on a socket alone, where no other way leads into its network namespace. */
  readonly listen: { readonly port: number } | { readonly socket: string };
  /** The set's point, from the manifest. null: of a standalone server, which has no oplog. */
  readonly marker: Optime | null;
  /** Its log file; absent: beside the folder. */
  readonly log?: string;
  /** Nothing but looking: the member's identity stays, and one start, the one that replays the oplog, is enough. */
  readonly readOnly?: boolean;
  /** Longest time for each start, 120 s unless told. */
  readonly withinMs?: number;
  /** Absent: 256 MB, the least that mongod takes. */
  readonly cacheBytes?: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProcess?: (pid: number) => void;
}

export interface OpenedCopy {
  /** Without login. */
  readonly uri: string;
  /** Stops it cleanly. */
  stop(): Promise<void>;
}

/** Opens a copy of a cold copy, see {@link openScratch}. */
export async function openCopy({ archiveDir, port, ...options }: OpenCopyOptions): Promise<OpenedCopy> {
  const { scratchDir } = options;
  await refuseUnclean(archiveDir);
  await mkdir(scratchDir, { recursive: true });
  await cp(archiveDir, scratchDir, {
    recursive: true,
    errorOnExist: true,
    force: false,
    preserveTimestamps: true,
    mode: constants.COPYFILE_FICLONE,
  });
  return openScratch({ ...options, listen: { port } });
}

/**
 * Opens a cold copy of a member as a standalone server. The files of a member hold the data as of its last stable
 * checkpoint and the oplog up to its stop: a first start replays the oplog, and only when that has reached the marker
 * is the member's identity (the `local` database, the shard identity) removed. Opened directly, the copy lacks what the
 * checkpoint lacked; with `local` dropped first, for good.
 *
 * https://www.mongodb.com/docs/manual/tutorial/restore-sharded-cluster/
 */
export async function openScratch(options: OpenScratchOptions): Promise<OpenedCopy> {
  const { scratchDir, marker } = options;
  await refuseUnclean(scratchDir);
  const layout = await layoutOptions(scratchDir);
  if (marker) {
    const replay = ['recoverFromOplogAsStandalone=true', 'takeUnstableCheckpointOnShutdown=true'];
    const replayed = await start(options, layout, [...replay, 'ttlMonitorEnabled=false']);
    try {
      await withClient(replayed.uri, (client) => assertReached(client, marker, scratchDir));
      if (options.readOnly === true) return replayed;
    } catch (error) {
      await replayed.stop();
      throw error;
    }
    await replayed.stop();
  }
  const opened = await start(options, layout, ['ttlMonitorEnabled=false']);
  if (marker) {
    try {
      await withClient(opened.uri, forgetCluster);
    } catch (error) {
      await opened.stop();
      throw error;
    }
  }
  return opened;
}

/**
 * Opens a cold copy of a member alone, as the manual does it for maintenance, and stops it cleanly: it is a member still,
 * and replays its oplog when it starts as one.
 *
 * https://www.mongodb.com/docs/v6.0/tutorial/perform-maintence-on-replica-set-members/
 */
export async function maintainScratch<T>(
  options: Omit<OpenScratchOptions, 'marker'>,
  work: (client: MongoClient) => Promise<T>,
): Promise<T> {
  await refuseUnclean(options.scratchDir);
  const layout = await layoutOptions(options.scratchDir);
  const opened = await start({ ...options, marker: null }, layout, ['ttlMonitorEnabled=false']);
  try {
    return await withClient(opened.uri, work);
  } finally {
    await opened.stop();
  }
}

async function refuseUnclean(data: string): Promise<void> {
  const lock = await lstat(join(data, 'mongod.lock')).catch(() => null);
  if (lock?.size === 0) return;
  throw refusal(
    `${data} is no cold copy of a mongod: its mongod.lock is ${lock ? 'not empty' : 'not there'}.`,
  );
}

/** A mongod refuses files that were laid out with other options than its own. */
async function layoutOptions(data: string): Promise<readonly string[]> {
  const storage = BSON.deserialize(await readFile(join(data, 'storage.bson')))['storage'] as Document;
  const { directoryPerDB, directoryForIndexes } = storage['options'] as Document;
  return [
    ...(directoryPerDB === true ? ['--directoryperdb'] : []),
    ...(directoryForIndexes === true ? ['--wiredTigerDirectoryForIndexes'] : []),
  ];
}

async function start(
  {
    scratchDir,
    command,
    listen,
    signal,
    onProcess,
    log = `${scratchDir}.log`,
    withinMs = 120_000,
    cacheBytes = leastCacheBytes,
  }: OpenScratchOptions,
  layout: readonly string[],
  parameters: readonly string[],
): Promise<OpenedCopy> {
  const common = ['disableLogicalSessionCacheRefresh=true', 'diagnosticDataCollectionEnabled=false'];
  const process = startProcess(
    [
      ...command,
      ...['--dbpath', scratchDir],
      ...('port' in listen
        ? ['--port', String(listen.port), '--bind_ip', '127.0.0.1', '--nounixsocket']
        : ['--bind_ip', listen.socket]),
      ...['--logpath', log, '--wiredTigerCacheSizeGB', (cacheBytes / 1024 ** 3).toFixed(3), ...layout],
      ...[...common, ...parameters].flatMap((parameter) => ['--setParameter', parameter]),
    ],
    { signal, ...(onProcess && { onSpawn: onProcess }) },
  );
  process.stdout.resume();
  let ended: string | null = null;
  const done = process.done.then(
    ({ exitCode, stderr }) => (ended = [`exit code ${exitCode}`, ...said(stderr)].join(', saying ')),
    (error: unknown) => (ended = String(error)),
  );
  const place = 'port' in listen ? `127.0.0.1:${listen.port}` : encodeURIComponent(listen.socket);
  const uri = `mongodb://${place}/?directConnection=true`;
  const up = await poll<true>(
    async () => {
      if (ended !== null) throw trouble(`mongod on ${scratchDir} ended with ${ended}: ${await tailOf(log)}`);
      try {
        await withClient(uri, (client) => client.db('admin').command({ ping: 1 }), 1_000);
        return { value: true };
      } catch {
        return { still: 'no answer' };
      }
    },
    { untilMs: Date.now() + withinMs, signal },
  ).catch(async (error: unknown) => {
    await process.kill();
    throw error;
  });
  if ('still' in up) {
    await process.kill();
    throw trouble(`mongod on ${scratchDir} did not answer within ${withinMs} ms: ${await tailOf(log)}`);
  }
  return { uri, stop: () => shutDown(process, uri, done, log, signal) };
}

/** Asks, and never kills: the files have to be whole for the next start. An abort has killed it. */
async function shutDown(
  process: RunningProcess,
  uri: string,
  done: Promise<string>,
  log: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (signal?.aborted) {
    await done;
    return;
  }
  const hasEnded = await Promise.race([done, Promise.resolve(null)]);
  if (hasEnded === null)
    // The server closes the connection instead of answering.
    await withClient(uri, (client) => client.db('admin').command({ shutdown: 1, force: true })).catch(
      () => undefined,
    );
  const ending = await done;
  if (!/^exit code 0(,|$)/.test(ending))
    throw trouble(`the scratch mongod ${process.pid} ended with ${ending}: ${await tailOf(log)}`);
}

async function assertReached(client: MongoClient, marker: Optime, data: string): Promise<void> {
  const last = await client.db('local').collection('oplog.rs').find().sort({ $natural: -1 }).limit(1).next();
  const at = last && optimeOf(last);
  if (!reached(at, marker))
    throw refusal(
      `${data} ends at ${optimeText(at)}, before the marker ${optimeText(marker)}: the copy lacks what was acknowledged.`,
    );
}

/** Without its replica set and its shard it opens as a standalone server and asks nobody. */
async function forgetCluster(client: MongoClient): Promise<void> {
  await client.db('local').dropDatabase();
  await client
    .db('admin')
    .collection<Document & { _id: string }>('system.version')
    .deleteMany({ _id: { $in: ['shardIdentity', 'minOpTimeRecovery'] } });
}

export async function withClient<T>(
  uri: string,
  work: (client: MongoClient) => Promise<T>,
  reachWithinMs = 10_000,
): Promise<T> {
  const client = new MongoClient(uri, { serverSelectionTimeoutMS: reachWithinMs });
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

function said(stderr: string): readonly string[] {
  const text = stderr.trim().slice(-500);
  return text === '' ? [] : [text];
}

async function tailOf(log: string): Promise<string> {
  const text = await readFile(log, 'utf8').catch(() => '');
  return text.slice(-1_500);
}
