import { createHash } from 'node:crypto';
import { inStore, type Artifact, type Manifest, type SetRef } from '../../model/manifest.ts';
import { StoreError, manifestName, sumsName } from './names.ts';
import {
  artifactsHere,
  manifestLine,
  manifestText,
  readManifest,
  readSums,
  sha256Of,
  sumsOf,
} from './sets.ts';
import { readSmall, textIn } from './small.ts';
import type { Store } from './store.ts';
import { digestOf, type VerifyHooks } from './verify.ts';

/** Where the same set lies too. */
export interface Source {
  readonly store: Store;
  readonly manifest: Manifest;
}

/**
 * Replaces each file of a set that is gone, or is not what was written, by the copy in another store. A copy counts only
 * when its bytes have the digest of this store's own manifest, which encryption for other keys rules out. It is whole and on
 * the disk before the damaged one goes; a crash in between leaves a file missing, for the next to mend. Returns what was
 * replaced, and from where.
 */
export async function mendSet(
  store: Store,
  given: Manifest,
  sources: readonly Source[],
  { signal, onProgress }: VerifyHooks,
): Promise<readonly string[]> {
  const { manifest, text, from } = await manifestFor(store, given, sources);
  // What is not known to be right is no measure for the rest.
  if (manifest === null) return [];
  const here = artifactsHere(store, manifest);
  const files = here.flatMap(filesOf);
  const totalBytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const mended: string[] = [];
  if (from !== null) {
    await store.replaceText(manifest.set, manifestName, manifestText(manifest));
    mended.push(`${manifestName} from ${from}`);
  }
  let checkedBytes = 0;
  for (const file of files) {
    signal.throwIfAborted();
    if (!(await isGood(store, manifest, file))) {
      const from = await replace(store, manifest, file, sources, signal);
      if (from !== null) mended.push(`${file.name} from ${from}`);
    }
    checkedBytes += file.sizeBytes;
    onProgress({ checkedBytes, totalBytes });
  }
  const sums = sumsOf(here) + (text === null ? '' : manifestLine(text));
  if (textIn(await readSmall(store, manifest.set, sumsName)) !== sums) {
    await store.replaceText(manifest.set, sumsName, sums);
    mended.push(`${sumsName} from the manifest`);
  }
  return mended;
}

interface Right {
  /** null: nobody knows. */
  readonly manifest: Manifest | null;
  /** As it lies here, or will; null: none does. */
  readonly text: string | null;
  /** Whose it is where it has to be put back; null: it lies here. */
  readonly from: string | null;
}

const unknown: Right = { manifest: null, text: null, from: null };

/**
 * The manifest that counts. One that can't be read, or has another digest than SHA256SUMS says, is that of another store: where
 * it becomes just what SHA256SUMS has the digest of, or has the artifacts that SHA256SUMS names, with their digests.
 */
async function manifestFor(store: Store, given: Manifest, sources: readonly Source[]): Promise<Right> {
  const own = await readManifest(store, given.set);
  if (own.kind === 'none') return { manifest: given, text: null, from: null };
  if (own.kind === 'other-format') return unknown;
  const sumsText = textIn(await readSmall(store, given.set, sumsName));
  const sums = sumsText === null ? null : readSums(sumsText);
  const isSure = sums?.manifest == null || (own.kind === 'manifest' && sums.manifest === sha256Of(own.text));
  if (own.kind === 'manifest' && isSure) return { manifest: own.manifest, text: own.text, from: null };
  const others = sources.map((source) => ({
    from: source.store.name,
    manifest: inStore(source.manifest, source.store.name, store.name),
  }));
  // Of a store that is not shared the keeper's; else perhaps the damaged one itself.
  const asGiven = { from: 'the keeper', manifest: given };
  const isSame = (one: Manifest): boolean => sums?.manifest === sha256Of(manifestText(one));
  const hasSame = (one: Manifest): boolean => sums?.artifacts === sumsOf(artifactsHere(store, one));
  const found =
    [...others, asGiven].find((one) => isSame(one.manifest)) ??
    [...others, ...(own.kind === 'unreadable' ? [asGiven] : [])].find((one) => hasSame(one.manifest));
  if (found === undefined) return unknown;
  const text = manifestText(found.manifest);
  const isHere = own.kind === 'manifest' && own.text === text;
  return { manifest: found.manifest, text, from: isHere ? null : found.from };
}

type StoredFile = Pick<Artifact, 'name' | 'sha256' | 'sizeBytes'>;

function filesOf({ name, sha256, sizeBytes, fileList }: Artifact): readonly StoredFile[] {
  return [{ name, sha256, sizeBytes }, fileList];
}

async function isGood(
  store: Store,
  { set }: Pick<Manifest, 'set'>,
  { name, sha256 }: Pick<StoredFile, 'name' | 'sha256'>,
): Promise<boolean> {
  if ((await store.sizeBytes(set, name)) === null) return false;
  try {
    return (await digestOf(store.read(set, name))) === sha256;
  } catch (error) {
    // Perhaps it would go well another time; a good copy in its place does no harm.
    if (error instanceof StoreError) return false;
    throw error;
  }
}

/** The name of the store that had it; null: none. */
async function replace(
  store: Store,
  { set }: Manifest,
  { name, sha256, sizeBytes }: StoredFile,
  sources: readonly Source[],
  signal: AbortSignal,
): Promise<string | null> {
  for (const source of sources) {
    const same = artifactsHere(source.store, source.manifest)
      .flatMap(filesOf)
      .find((other) => other.name === name && other.sha256 === sha256);
    if (same === undefined || (await sizeAt(source, set, name)) === null) continue;
    const part = await store.create(set, name, 'mend', sizeBytes);
    try {
      const hash = createHash('sha256');
      for await (const chunk of untilItFails(source.store.read(set, name))) {
        signal.throwIfAborted();
        hash.update(chunk);
        await part.write(chunk);
      }
      if (hash.digest('hex') === sha256) {
        await store.drop(set, name);
        await part.seal();
        // A store that keeps once what it has already may have kept the damage.
        if (await isGood(store, { set }, { name, sha256 })) return source.store.name;
        return null;
      }
      await part.discard();
    } catch (error) {
      await part.discard().catch(() => undefined);
      throw error;
    }
  }
  return null;
}

/** A source that is away is none. */
async function sizeAt({ store }: Source, set: SetRef, name: string): Promise<number | null> {
  return store.sizeBytes(set, name).catch(() => null);
}

/** What a source cannot give has another digest: the next one is asked. */
async function* untilItFails(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield* chunks;
  } catch {
    return;
  }
}
