import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import type { Artifact, Manifest, Verification } from '../../model/manifest.ts';
import { createTarDigests } from '../archive/digests.ts';
import { createComparison, type Comparison } from '../archive/list-comparison.ts';
import { inputOf } from '../archive/process-input.ts';
import { canRead, listLines, readContent } from '../archive/stored-content.ts';
import { ArchiveError } from '../archive/survey.ts';
import { startProcess } from '../system/command.ts';
import type { RunningProcess } from '../system/command.ts';
import { readable } from './damage.ts';
import { manifestName, sumsName } from './names.ts';
import { artifactsHere, readManifest, readSums, sha256Of, sumsOf } from './sets.ts';
import { readSmall } from './small.ts';
import type { Store } from './store.ts';

export interface VerifyHooks {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: { readonly checkedBytes: number; readonly totalBytes: number }) => void;
}

/** More than this are counted, not named. */
const maxProblems = 100;
const progressEveryMs = 250;

/**
 * Reads everything again that this host can see: the bytes of each archive, and through `zstd -d` the content of each
 * file in it, against the digests taken when it was copied. Says what is missing, too much, cut short or changed.
 */
export async function verifySet(store: Store, manifest: Manifest, hooks: VerifyHooks): Promise<Verification> {
  const { set } = manifest;
  const here = artifactsHere(store, manifest);
  const elsewhere = manifest.artifacts.filter(
    (artifact) => artifact.store === store.name && !here.includes(artifact),
  );
  const totalBytes = here.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const problems = createProblems();
  let checkedBytes = 0;
  let toldAtMs = 0;
  const onBytes = (bytes: number): void => {
    checkedBytes += bytes;
    if (performance.now() - toldAtMs < progressEveryMs) return;
    toldAtMs = performance.now();
    hooks.onProgress({ checkedBytes, totalBytes });
  };

  const own = await readManifest(store, set);
  const file = await readSmall(store, set, sumsName);
  if (own.kind === 'unreadable') problems.add(`${manifestName}: cannot be read: ${own.why}`);
  if (file.kind === 'unreadable') problems.add(`${sumsName}: ${file.why}`);
  else if (file.kind === 'text') {
    const sums = readSums(file.text);
    if (sums.artifacts !== sumsOf(here)) problems.add(`${sumsName}: says other digests than the manifest`);
    if (own.kind === 'manifest' && sums.manifest !== null && sums.manifest !== sha256Of(own.text))
      problems.add(`${manifestName}: was changed, its SHA-256 is not the one in ${sumsName}`);
  } else if (store.shared || own.kind !== 'none') problems.add(`${sumsName}: is missing`);
  for (const artifact of here) {
    hooks.signal.throwIfAborted();
    await verifyArtifact({ store, set, artifact, signal: hooks.signal, onBytes, problem: problems.add });
  }
  hooks.onProgress({ checkedBytes, totalBytes });
  const storedOnly: string[] = [];
  for (const artifact of here) if (!(await canRead(store, artifact))) storedOnly.push(artifact.name);
  return {
    set,
    store: store.name,
    checkedBytes,
    artifacts: here.length,
    elsewhere: [...new Set(elsewhere.map(({ host }) => host))].sort(),
    problems: problems.all(),
    ...(storedOnly.length > 0 && { storedOnly }),
  };
}

interface Check {
  readonly store: Store;
  readonly set: Manifest['set'];
  readonly artifact: Artifact;
  readonly signal: AbortSignal;
  readonly onBytes: (bytes: number) => void;
  readonly problem: (what: string) => void;
}

async function verifyArtifact(check: Check): Promise<void> {
  const { store, set, artifact, problem } = check;
  const { name, fileList } = artifact;
  const listSize = await store.sizeBytes(set, fileList.name);
  const size = await store.sizeBytes(set, name);
  if (listSize === null) problem(`${fileList.name}: is missing`);
  else if ((await digestOf(readable({ ...check, file: fileList.name }, problem))) !== fileList.sha256) {
    problem(`${fileList.name}: was changed, its SHA-256 is not that of the manifest`);
  }
  if (size === null) {
    problem(`${name}: is missing`);
    return;
  }
  if (size !== artifact.sizeBytes) problem(`${name}: has ${size} bytes instead of ${artifact.sizeBytes}`);
  if (!(await canRead(store, artifact))) {
    mustBeSame(check, await digestOf(stored(check)));
    return;
  }
  const lines = listSize === null ? null : listLines(check, problem);
  const zstd = startProcess(['zstd', '-d', '-q', '-c'], {
    stdin: 'pipe',
    signal: check.signal,
    env: { LC_ALL: 'C' },
  });
  try {
    const compare = createComparison(name, lines, problem);
    const [sha256] = await Promise.all([feed(check, zstd), readBack(check, zstd, compare)]);
    mustBeSame(check, sha256);
  } finally {
    await zstd.kill();
    // A list that was not read to its end lets go of its connection.
    void lines?.return(undefined);
  }
}

function mustBeSame({ artifact: { name, sha256 }, problem }: Check, found: string): void {
  if (found !== sha256) problem(`${name}: was changed, its SHA-256 is ${found} instead of ${sha256}`);
}

/** The bytes as they lie there. */
async function* stored(check: Check): AsyncGenerator<Buffer> {
  const { artifact, signal, onBytes, problem } = check;
  for await (const chunk of readable({ ...check, file: artifact.name }, problem)) {
    signal.throwIfAborted();
    onBytes(chunk.length);
    yield chunk;
  }
}

/** Goes on to the end of the archive where zstd or age gives up, for the digest. */
async function feed(check: Check, zstd: RunningProcess): Promise<string> {
  const hash = createHash('sha256');
  const input = inputOf(zstd);
  let reads = true;
  const content = readContent(check.store, check.artifact, hashed(stored(check), hash), check.signal);
  try {
    for await (const chunk of content) if (reads) reads = await input.write(chunk);
  } catch (error) {
    if (!(error instanceof ArchiveError)) throw error;
    check.problem(error.message);
  }
  input.end();
  return hash.digest('hex');
}

async function* hashed(chunks: AsyncIterable<Buffer>, hash: Hash): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    hash.update(chunk);
    yield chunk;
  }
}

async function readBack(check: Check, zstd: RunningProcess, compare: Comparison): Promise<void> {
  const { artifact, problem } = check;
  const digests = createTarDigests();
  let unreadable: string | null = null;
  for await (const chunk of zstd.stdout as AsyncIterable<Buffer>) {
    if (unreadable !== null) continue;
    try {
      digests.push(chunk);
    } catch (error) {
      unreadable = error instanceof Error ? error.message : String(error);
    }
    for (const file of digests.takeFiles()) await compare.found(file);
  }
  const { exitCode, stderr } = await zstd.done;
  if (exitCode !== 0) {
    problem(
      `${artifact.name}: cannot be decompressed: zstd ended with exit code ${exitCode}: ${stderr.trim()}`,
    );
  }
  try {
    if (unreadable === null) digests.finish();
  } catch (error) {
    unreadable = error instanceof Error ? error.message : String(error);
  }
  if (unreadable !== null) problem(`${artifact.name}: is no whole archive: ${unreadable}`);
  await compare.end();
}

/** The first of many. */
export function createProblems() {
  const problems: string[] = [];
  let count = 0;
  return {
    add: (what: string): void => {
      count += 1;
      if (problems.length < maxProblems) problems.push(what);
    },
    all: (): readonly string[] =>
      count > maxProblems ? [...problems, `… and ${count - maxProblems} more`] : problems,
  };
}

export async function digestOf(chunks: AsyncIterable<Buffer>): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of chunks) hash.update(chunk);
  return hash.digest('hex');
}
