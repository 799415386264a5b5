import { createHash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SetRef } from '../../model/manifest.ts';
import type { Store } from '../stores/store.ts';
import { startProcess } from '../system/command.ts';
import type { RunningProcess } from '../system/command.ts';
import { createTarDigests } from './digests.ts';
import type { TarDigests } from './digests.ts';
import { bytesText, listLine } from './file-list.ts';
import { openOutlets } from './outlets.ts';
import type { Outlets } from './outlets.ts';
import { inputOf } from './process-input.ts';
import type { Digest } from './stored-file.ts';
import { ArchiveError, killedAbove, outermost, surveyAgain, surveyTree, wholePatterns } from './survey.ts';
import type { Survey, TreeSpec } from './survey.ts';

export interface TreeCopy extends TreeSpec {
  readonly stores: readonly Store[];
  /** Of several stores: whether one that fails is left out. Default: all. */
  readonly needs?: 'all' | 'any';
  readonly set: SetRef;
  /** `vitam-mongo/mongo-1_27018.tar.zst` */
  readonly artifact: string;
  /** Of the files under way: epoch and job. */
  readonly owner: string;
  /** Of zstd. Default: 3. */
  readonly level?: number | undefined;
}

export interface CopyHooks {
  /** Ends both process groups; nothing is sealed. Does not wait for a reader that hangs. */
  readonly signal: AbortSignal;
  /** Of each process group, as soon as it runs. */
  readonly onProcess: (pid: number) => void;
  /** Several times a second at most. */
  readonly onProgress: (progress: TreeProgress) => void;
}

export interface TreeProgress {
  /** Of the content of files. */
  readonly readBytes: number;
  /** Compressed, in the store. */
  readonly writtenBytes: number;
  readonly totalBytes: number;
}

export interface CopiedTree {
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly contentBytes: number;
  readonly files: number;
  readonly fileList: { readonly name: string; readonly sha256: string; readonly sizeBytes: number };
  readonly leftOut: readonly string[];
  readonly encrypted?: { readonly age: readonly string[] };
}

/** What became of one read in each of its stores. */
export interface CopiedTrees {
  readonly copied: readonly (CopiedTree & { readonly store: string })[];
  readonly failed: ReadonlyMap<string, unknown>;
}

const progressEveryMs = 250;
/** After an abort: killed processes that still hang are left to the kernel. */
const patienceMs = 1_000;
const listPieceBytes = 256 * 1024;

export function fileListName(artifact: string): string {
  return `${artifact}.files`;
}

/**
 * Copies trees at rest into one archive: GNU tar reads, one pass over its stream takes the digest of every file, zstd
 * compresses, the stores take it, encrypted where they say so. One read, however many stores; the slowest sets the
 * pace. No temporary copy, constant memory. Whatever changes meanwhile makes it fail: tar says so of the file that it
 * reads, and a second look at the whole tree's metadata of all others.
 * Throws ArchiveError, StoreError, CommandError, or the reason of the signal.
 */
export async function copyTree(copy: TreeCopy, hooks: CopyHooks): Promise<CopiedTrees> {
  hooks.signal.throwIfAborted();
  let outlets: Outlets | null = null;
  const processes: RunningProcess[] = [];
  const abandon = new AbortController();
  const walking = { signal: abandon.signal, onProcess: (pid: number) => hooks.onProcess(pid) };
  const run = async (): Promise<CopiedTrees> => {
    const before = await surveyTree(copy, walking);
    const start = (argv: readonly string[], stdin: 'pipe' | 'ignore'): RunningProcess => {
      const process = startProcess(argv, {
        stdin,
        env: { LC_ALL: 'C' },
        onSpawn: (pid) => hooks.onProcess(pid),
      });
      processes.push(process);
      return process;
    };
    const opened = await openOutlets({
      ...{ stores: copy.stores, set: copy.set, owner: copy.owner, needs: copy.needs ?? 'all', start },
      ...{ archive: copy.artifact, list: fileListName(copy.artifact) },
      atMostBytes: atMostBytes(before),
      mustGoOn: () => abandon.signal.throwIfAborted(),
    });
    outlets = opened;
    abandon.signal.throwIfAborted();
    const streamed = await stream(copy, before, { outlets: opened, start, onProgress: hooks.onProgress });
    const after = await surveyAgain(copy, walking, before);
    mustBeUnchanged(copy, before, after);
    abandon.signal.throwIfAborted();
    const sealed = await opened.seal(streamed);
    const { contentBytes, files } = streamed;
    return {
      copied: sealed.map(({ store, archive, list }) => ({
        ...{ store: store.name, ...archive, contentBytes, files, leftOut: leftOut(before) },
        fileList: { name: fileListName(copy.artifact), ...list },
        ...(store.encrypt && { encrypted: { age: store.encrypt.recipients } }),
      })),
      failed: opened.failed,
    };
  };
  const running = run();
  try {
    return await orAbort(running, hooks.signal);
  } catch (error) {
    abandon.abort(error);
    running.catch(() => undefined);
    const ended = Promise.allSettled(processes.map((process) => process.kill()));
    for (const { stdout, stdin } of processes) {
      stdout.destroy();
      stdin?.destroy();
    }
    await Promise.race([ended, sleep(patienceMs, undefined, { ref: false })]);
    const discarded = (outlets as Outlets | null)?.discard().catch(() => undefined);
    await Promise.race([discarded, sleep(patienceMs, undefined, { ref: false })]);
    throw error;
  }
}

/**
 * Names with their headers and padding; content that does not compress, in the frames of zstd and age. A name of 4,096
 * bytes or many extended attributes take more, and so may hard links whose other names lie elsewhere.
 */
function atMostBytes({ totalBytes, files, others }: Survey): number {
  return Math.ceil(1.001 * totalBytes) + 4_096 * (files + others + 256);
}

interface Streaming {
  readonly outlets: Outlets;
  readonly start: (argv: readonly string[], stdin: 'pipe' | 'ignore') => RunningProcess;
  readonly onProgress: (progress: TreeProgress) => void;
}

interface Streamed {
  /** As compressed: what a store has that does not encrypt. */
  readonly archive: Digest;
  readonly list: Digest;
  readonly contentBytes: number;
  readonly files: number;
}

async function stream(
  copy: TreeCopy,
  { totalBytes, specials, files, others }: Survey,
  { outlets, start, onProgress }: Streaming,
): Promise<Streamed> {
  const tarCommand = tarArgv(copy, specials);
  const tar = start(tarCommand, 'ignore');
  const zstdCommand = zstdArgv(
    copy.level ?? 3,
    copy.stores.some(({ deduplicates }) => deduplicates),
  );
  const zstd = start(zstdCommand, 'pipe');
  const digests = createTarDigests();
  const compressed = createHash('sha256');
  const listed = createListWriter((piece) => outlets.write('list', piece));
  let writtenBytes = 0;
  let toldAtMs = 0;
  const tell = (always: boolean): void => {
    const now = performance.now();
    if (!always && now - toldAtMs < progressEveryMs) return;
    toldAtMs = now;
    onProgress({ readBytes: digests.totals.contentBytes, writtenBytes, totalBytes });
  };

  const reading = async (): Promise<void> => {
    const input = inputOf(zstd);
    let passedBytes = 0;
    for await (const chunk of tar.stdout as AsyncIterable<Buffer>) {
      digests.push(chunk);
      const end = digests.endBytes();
      const kept = end === null ? chunk.length : Math.max(0, toRecord(end) - passedBytes);
      passedBytes += chunk.length;
      const written = input.write(chunk.subarray(0, kept));
      await listed.add(digests);
      tell(false);
      if (!(await written)) throw zstdFailed(copy.host, zstdCommand, await zstd.done);
    }
    const { exitCode, stderr } = await tar.done;
    if (exitCode !== 0) throw tarFailed(copy, tarCommand, exitCode, stderr);
    digests.finish();
    mustBeWhole(copy, digests, { files, others });
    input.end();
  };
  const writing = async (): Promise<void> => {
    for await (const chunk of zstd.stdout as AsyncIterable<Buffer>) {
      const taken = outlets.write('archive', chunk);
      compressed.update(chunk);
      writtenBytes += chunk.length;
      await taken;
    }
    const ended = await zstd.done;
    if (ended.exitCode !== 0) throw zstdFailed(copy.host, zstdCommand, ended);
  };
  await Promise.all([reading(), writing()]);
  const list = await listed.end();
  tell(true);
  return {
    archive: { sizeBytes: writtenBytes, sha256: compressed.digest('hex') },
    list,
    contentBytes: digests.totals.contentBytes,
    files: digests.totals.files,
  };
}

/** This process takes the digests on one core; the others compress. More than four would wait for it. */
const compressors = Math.min(4, Math.max(1, availableParallelism() - 1));

/**
 * Rsyncable: after a change the stream is soon what it was before, so that a store finds what it has already. With jobs of
 * the usual 8 MiB it found its way back in five of six trees of random content only.
 */
function zstdArgv(level: number, rsyncable: boolean): readonly string[] {
  return [
    'zstd',
    `-${level}`,
    `-T${compressors}`,
    '-q',
    '-c',
    ...(rsyncable ? ['--rsyncable', '-B2MiB'] : []),
  ];
}

/**
 * Names are relative to /, so that an archive unpacks below any folder; pax headers come without tar's process id and
 * without access times: the same tree, the same bytes.
 */
function tarArgv(copy: TreeCopy, specials: readonly string[]): readonly string[] {
  const relative = (path: string): string => path.replace(/^\/+/, '');
  return [
    'tar',
    '--create',
    '--file=-',
    '--format=posix',
    '--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime',
    '--sort=name',
    '--numeric-owner',
    '--xattrs',
    '--acls',
    '--blocking-factor=128',
    '--anchored',
    '--wildcards',
    ...wholePatterns(copy).map((pattern) => `--exclude=${relative(pattern)}`),
    '--no-wildcards',
    ...specials.map((path) => `--exclude=${relative(Buffer.from(path, 'latin1').toString('utf8'))}`),
    `--directory=${copy.at ?? '/'}`,
    '--',
    ...outermost(copy.roots).map(relative),
  ];
}

/**
 * tar writes in large pieces, to be quick, and pads its last one. A tar that reads stops after its own record of 20
 * blocks: `zstd -d | tar -x` would then end with a broken pipe.
 */
function toRecord(bytes: number): number {
  return Math.ceil(bytes / 10_240) * 10_240;
}

function createListWriter(write: (piece: Buffer) => Promise<void>) {
  const hash = createHash('sha256');
  let lines: Buffer[] = [];
  let waitingBytes = 0;
  let sizeBytes = 0;
  const flush = async (): Promise<void> => {
    const piece = Buffer.concat(lines);
    lines = [];
    waitingBytes = 0;
    sizeBytes += piece.length;
    hash.update(piece);
    await write(piece);
  };
  return {
    async add(digests: TarDigests): Promise<void> {
      for (const file of digests.takeFiles()) {
        const line = listLine(file);
        lines.push(line);
        waitingBytes += line.length;
      }
      if (waitingBytes >= listPieceBytes) await flush();
    },
    async end(): Promise<{ sha256: string; sizeBytes: number }> {
      await flush();
      return { sha256: hash.digest('hex'), sizeBytes };
    },
  };
}

function tarFailed(copy: TreeCopy, argv: readonly string[], exitCode: number, stderr: string): ArchiveError {
  return new ArchiveError(
    `${copy.roots.join(', ')} on ${copy.host} could not be read, or was not at rest: tar ended with exit code ` +
      `${exitCode}: ${stderr.trim().slice(-2_000)}. Nothing may write there during a cold copy, and the agent must be ` +
      `able to read all of it. Command: ${JSON.stringify(argv).slice(0, 1_000)}`,
    { mayPass: exitCode > killedAbove },
  );
}

function zstdFailed(
  host: string,
  argv: readonly string[],
  ended: { readonly exitCode: number; readonly stderr: string },
): ArchiveError {
  return new ArchiveError(
    `${JSON.stringify(argv)} ended with exit code ${ended.exitCode} on ${host}: ` +
      ended.stderr.trim().slice(-2_000),
    { mayPass: true },
  );
}

/** find and tar must have seen the same tree: else a pattern means two things, or something came or went. */
function mustBeWhole(copy: TreeCopy, { totals }: TarDigests, seen: Pick<Survey, 'files' | 'others'>): void {
  const read = totals.files + totals.hardLinks + totals.others;
  const expected = seen.files + seen.others;
  if (read === expected) return;
  throw new ArchiveError(
    `${copy.roots.join(', ')} on ${copy.host} held ${expected} files, folders and links before the copy, and tar ` +
      `read ${read}: something came or went meanwhile. Nothing may write there during a cold copy.`,
  );
}

function mustBeUnchanged(copy: TreeCopy, before: Survey, after: Survey): void {
  if (before.fingerprint === after.fingerprint) return;
  const { paths, count } = after.changed;
  const named = paths.slice(0, 10).map(bytesText).join(', ');
  const more = count > 10 ? ` and ${count - 10} more` : '';
  throw new ArchiveError(
    `${copy.roots.join(', ')} on ${copy.host} was not at rest: changed during the copy: ` +
      `${named === '' ? 'names that are gone' : named}${more}. Nothing may write there during a cold copy.`,
  );
}

function leftOut({ specials, excluded }: Survey): readonly string[] {
  const more = excluded.count - excluded.paths.length;
  return [
    ...specials.map(bytesText),
    ...excluded.paths.map(bytesText),
    ...(more > 0 ? [`… and ${more} more that the exclude patterns name`] : []),
  ];
}

async function orAbort<T>(running: Promise<T>, signal: AbortSignal): Promise<T> {
  let listener = (): void => undefined;
  const aborted = new Promise<void>((resolve) => {
    listener = () => resolve();
    signal.addEventListener('abort', listener, { once: true });
  });
  try {
    await Promise.race([running, aborted]);
    signal.throwIfAborted();
    return await running;
  } finally {
    signal.removeEventListener('abort', listener);
  }
}
