import { createHash } from 'node:crypto';
import type { Artifact, Manifest, Verification } from '../../model/manifest.ts';
import { createTarDigests } from '../archive/digests.ts';
import { linesOf } from '../archive/file-list.ts';
import { createComparison, type Comparison } from '../archive/list-comparison.ts';
import { inputOf } from '../archive/process-input.ts';
import { startProcess } from '../system/command.ts';
import type { RunningProcess } from '../system/command.ts';
import { manifestName, sumsName } from './names.ts';
import { artifactsHere, sumsOf } from './sets.ts';
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

  const sums = await store.readText(set, sumsName);
  if (sums !== null && sums !== sumsOf(here)) {
    problems.add(`${sumsName}: says other digests than the manifest`);
  } else if (sums === null && (store.shared || (await store.readText(set, manifestName)) !== null)) {
    problems.add(`${sumsName}: is missing`);
  }
  for (const artifact of here) {
    hooks.signal.throwIfAborted();
    await verifyArtifact({ store, set, artifact, signal: hooks.signal, onBytes, problem: problems.add });
  }
  hooks.onProgress({ checkedBytes, totalBytes });
  return {
    set,
    store: store.name,
    checkedBytes,
    artifacts: here.length,
    elsewhere: [...new Set(elsewhere.map(({ host }) => host))].sort(),
    problems: problems.all(),
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
  else if ((await digestOf(store.read(set, fileList.name))) !== fileList.sha256) {
    problem(`${fileList.name}: was changed, its SHA-256 is not that of the manifest`);
  }
  if (size === null) {
    problem(`${name}: is missing`);
    return;
  }
  if (size !== artifact.sizeBytes) problem(`${name}: has ${size} bytes instead of ${artifact.sizeBytes}`);
  const zstd = startProcess(['zstd', '-d', '-q', '-c'], {
    stdin: 'pipe',
    signal: check.signal,
    env: { LC_ALL: 'C' },
  });
  try {
    const compare = createComparison(
      name,
      listSize === null ? null : linesOf(store.read(set, fileList.name)),
      problem,
    );
    const [sha256] = await Promise.all([feed(check, zstd), readBack(check, zstd, compare)]);
    if (sha256 !== artifact.sha256) {
      problem(`${name}: was changed, its SHA-256 is ${sha256} instead of ${artifact.sha256}`);
    }
  } finally {
    await zstd.kill();
  }
}

/** Goes on to the end of the archive where zstd gives up, for the digest. */
async function feed(check: Check, zstd: RunningProcess): Promise<string> {
  const hash = createHash('sha256');
  const input = inputOf(zstd);
  let reads = true;
  for await (const chunk of check.store.read(check.set, check.artifact.name)) {
    check.signal.throwIfAborted();
    hash.update(chunk);
    check.onBytes(chunk.length);
    if (reads) reads = await input.write(chunk);
  }
  input.end();
  return hash.digest('hex');
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
