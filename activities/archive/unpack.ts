import { createHash } from 'node:crypto';
import type { Artifact, SetRef } from '../../model/manifest.ts';
import { createProblems, digestOf } from '../stores/verify.ts';
import type { Store } from '../stores/store.ts';
import { startProcess } from '../system/command.ts';
import type { RunningProcess } from '../system/command.ts';
import { compareOnDisk } from './disk-comparison.ts';
import type { ListedFile } from './file-list.ts';
import { createJudge, type LinkRule } from './judge.ts';
import { createComparison } from './list-comparison.ts';
import { inputOf } from './process-input.ts';
import { listLines, mustBeReadable, readContent } from './stored-content.ts';
import { ArchiveError, killedAbove } from './survey.ts';
import { createTarReader, TarError } from './tar-reader.ts';

export interface Unpacking {
  readonly store: Store;
  readonly set: SetRef;
  readonly artifact: Artifact;
  /** An empty folder: paths are those of the archive, below it. */
  readonly target: string;
  readonly links: LinkRule;
}

export interface UnpackHooks {
  readonly signal: AbortSignal;
  readonly onProcess?: (pid: number) => void;
  /** Of the stored file. */
  readonly onBytes?: (bytes: number) => void;
}

export interface Unpacked {
  /** What is wrong with the artifact; empty: all of it lies in the target, and every digest is right. */
  readonly problems: readonly string[];
  readonly files: number;
  readonly contentBytes: number;
  /** Where what was copied begins, below the target. */
  readonly roots: readonly string[];
}

/**
 * Unpacks an artifact in one pass over its bytes: they are hashed, zstd decompresses them, each entry is judged before
 * GNU tar gets it. As soon as tar is done with a file, a second thread reads it again as it lies on the disk, and
 * compares its digest with the list: that proves the stream as well. Ends at once where the archive is hostile, or holds
 * more than its manifest says. Throws ArchiveError where the target is at fault, and the reason of the signal.
 */
export async function unpackArtifact(unpacking: Unpacking, hooks: UnpackHooks): Promise<Unpacked> {
  const { store, set, artifact, target, links } = unpacking;
  const { name, fileList } = artifact;
  const problems = createProblems();
  const judge = createJudge(name, links);
  const started: RunningProcess[] = [];
  const start = (argv: readonly string[]): RunningProcess => {
    const process = startProcess(argv, {
      stdin: 'pipe',
      signal: hooks.signal,
      env: { LC_ALL: 'C' },
      ...(hooks.onProcess && { onSpawn: hooks.onProcess }),
    });
    process.done.catch(() => undefined);
    started.push(process);
    return process;
  };
  let over = false;
  let path = '';
  let files = 0;
  let contentBytes = 0;
  /** Those whose last byte has passed. */
  let passed: string[] = [];
  const reader = createTarReader({
    entry(entry) {
      judge.entry(entry);
      path = entry.path;
      files += entry.kind === 'file' ? 1 : 0;
      if (files > artifact.files) throw new ArchiveError(`${name}: holds more files than the manifest says`);
    },
    content(chunk) {
      contentBytes += chunk.length;
    },
    fileEnd() {
      passed.push(path);
    },
  });
  const result = () => ({
    problems: problems.all(),
    files,
    contentBytes,
    roots: judge.roots.map((root) => Buffer.from(root, 'latin1').toString('utf8')),
  });

  if ((await store.sizeBytes(set, name)) !== artifact.sizeBytes) {
    problems.add(`${name}: is missing, or has not the ${artifact.sizeBytes} bytes of the manifest`);
    return result();
  }
  if ((await store.sizeBytes(set, fileList.name)) === null) problems.add(`${fileList.name}: is missing`);
  else if ((await digestOf(store.read(set, fileList.name))) !== fileList.sha256)
    problems.add(`${fileList.name}: was changed, its SHA-256 is not that of the manifest`);
  if (problems.all().length > 0) return result();
  await mustBeReadable(store, artifact);

  const lines = listLines({ store, set, artifact, signal: hooks.signal }, problems.add);
  const comparison = createComparison(name, lines, problems.add);
  const disk = compareOnDisk({ target, artifact: name, signal: hooks.signal, problem: problems.add });
  try {
    const zstd = start(['zstd', '-d', '-q', '-c']);
    const tar = start(tarArgv(target));
    await Promise.all([feed(zstd), extract(zstd, tar)]);
    hooks.signal.throwIfAborted();
  } catch (error) {
    hooks.signal.throwIfAborted();
    if (!(error instanceof RefusedArchive)) throw error;
    problems.add(error.message);
  } finally {
    over = true;
    disk.close();
    await Promise.all(started.map((process) => process.kill()));
    void lines.return(undefined);
  }
  return result();

  async function feed(zstd: RunningProcess): Promise<void> {
    const hash = createHash('sha256');
    const input = inputOf(zstd);
    let reads = true;
    const stored = async function* (): AsyncGenerator<Buffer> {
      for await (const chunk of store.read(set, name)) {
        hooks.signal.throwIfAborted();
        if (over) return;
        hash.update(chunk);
        hooks.onBytes?.(chunk.length);
        yield chunk;
      }
    };
    try {
      for await (const chunk of readContent(store, artifact, stored(), hooks.signal))
        if (reads) reads = await input.write(chunk);
    } catch (error) {
      if (!(error instanceof ArchiveError)) throw error;
      problems.add(error.message);
    }
    if (over) return;
    input.end();
    const sha256 = hash.digest('hex');
    if (sha256 !== artifact.sha256)
      problems.add(`${name}: was changed, its SHA-256 is ${sha256} instead of ${artifact.sha256}`);
  }

  async function extract(zstd: RunningProcess, tar: RunningProcess): Promise<void> {
    const input = inputOf(tar);
    const doneBytes = doneBy(tar);
    const underWay: { readonly file: ListedFile; readonly endBytes: number }[] = [];
    let passedBytes = 0;
    let wholeBytes = 0;
    let ended = false;
    for await (const chunk of zstd.stdout as AsyncIterable<Buffer>) {
      hooks.signal.throwIfAborted();
      judged(() => {
        reader.push(chunk);
        if (contentBytes > artifact.contentBytes)
          throw new ArchiveError(
            `${name}: holds more than the ${artifact.contentBytes} bytes of the manifest`,
          );
        if (!ended && reader.endBytes() !== null) judge.end();
      });
      ended = reader.endBytes() !== null;
      passedBytes += chunk.length;
      const ends = passed;
      passed = [];
      for (const each of ends) {
        const file = await comparison.named(each);
        if (file !== null) underWay.push({ file, endBytes: passedBytes });
      }
      if (!(await input.write(chunk))) break;
      if (doneBytes() === wholeBytes) continue;
      wholeBytes = doneBytes();
      const first = underWay.findIndex(({ endBytes }) => endBytes > wholeBytes);
      await disk.add(underWay.splice(0, first === -1 ? underWay.length : first).map(({ file }) => file));
    }
    const read = await zstd.done;
    if (input.isOpen()) {
      if (read.exitCode > killedAbove)
        throw new ArchiveError(
          `${name} could not be decompressed: zstd was ended with exit code ${read.exitCode}`,
          {
            mayPass: true,
          },
        );
      if (read.exitCode !== 0)
        throw new RefusedArchive(
          `${name}: cannot be decompressed: zstd ended with exit code ${read.exitCode}: ${read.stderr.trim()}`,
        );
      judged(() => reader.finish());
      await comparison.end();
    }
    input.end();
    const { exitCode, stderr } = await tar.done;
    // Where a member is there twice, tar and the list say so. On a full disk files differ, and the archive is not to blame.
    if (
      exitCode !== 0 &&
      (problems.all().length === 0 || exitCode > killedAbove || targetIsAtFault.test(stderr))
    )
      throw new ArchiveError(
        `${name} could not be unpacked into ${target}: ${JSON.stringify(tarArgv(target))} ended with exit code ` +
          `${exitCode}: ${stderr.trim().slice(-2_000)}`,
      );
    await disk.add(underWay.map(({ file }) => file));
    await disk.end();
  }

  /** What is wrong with the archive is a finding; anything else is a failure. */
  function judged(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (error instanceof TarError)
        throw new RefusedArchive(`${name}: is no whole archive: ${error.message}`);
      if (error instanceof ArchiveError) throw new RefusedArchive(error.message);
      throw error;
    }
  }
}

/** What the files of an artifact take on a disk: whole blocks, and folders some, over their content. */
export function unpackedBytes(contentBytes: number): number {
  return contentBytes * 1.1;
}

/** In the C locale. */
const targetIsAtFault =
  /No space left on device|Disk quota exceeded|Read-only file system|Input\/output error|Permission denied/;

class RefusedArchive extends Error {
  override readonly name = 'RefusedArchive';
}

/** In 512 bytes. The larger, the fewer turns between the two processes. */
const blocksARecord = 512;

/**
 * How far tar has got: it prints a dot before it reads another whole record. What lies before the one that it had then is
 * written, and closed; one more is left aside, whichever it counts from.
 */
function doneBy({ stdout }: RunningProcess): () => number {
  let dots = 0;
  stdout.on('data', (chunk: Buffer) => {
    dots += chunk.length;
  });
  return () => Math.max(0, dots - 2) * blocksARecord * 512;
}

/** Owners, modes, extended attributes and ACLs as they were, where that is allowed: as root. */
function tarArgv(target: string): readonly string[] {
  const asRoot = process.getuid?.() === 0;
  return [
    ...['tar', '--extract', '--file=-', '--preserve-permissions', '--numeric-owner', '--keep-old-files'],
    ...[`--blocking-factor=${blocksARecord}`, '--read-full-records'],
    ...['--checkpoint=1', '--checkpoint-action=dot'],
    ...(asRoot ? ['--same-owner', '--xattrs', '--xattrs-include=*', '--acls'] : ['--no-same-owner']),
    `--directory=${target}`,
  ];
}
