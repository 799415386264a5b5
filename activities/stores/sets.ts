import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Artifact, Manifest, SetRef, SetSummary } from '../../model/manifest.ts';
import { atMost } from '../system/at-most.ts';
import { listLine } from '../archive/file-list.ts';
import { inUseName, usesIn } from './in-use.ts';
import { pinnedBy, pinName } from './pins.ts';
import { verifiedIn, verifiedName } from './verified.ts';
import { parsedJson } from './json.ts';
import { StoreError, filePath, isSetId, manifestName, sumsName } from './names.ts';
import { proofsIn, proofsName } from './proofs.ts';
import { readSmall, textIn } from './small.ts';
import type { Store } from './store.ts';

const knownFormat = 1;

const nameSchema = z.string().refine(isFileName, { error: 'leads out of the set' });
const artifactSchema = z.looseObject({
  name: nameSchema,
  store: z.string(),
  host: z.string(),
  sizeBytes: z.number(),
  sha256: z.string(),
  fileList: z.looseObject({ name: nameSchema, sha256: z.string(), sizeBytes: z.number() }),
});
/** Any manifest, also of a later version. */
const headSchema = z.looseObject({
  format: z.number(),
  set: z.looseObject({ site: z.string(), procedure: z.string(), id: z.string() }),
});
const manifestSchema = z.looseObject({
  night: z.string(),
  publishedAt: z.string(),
  complete: z.boolean(),
  artifacts: z.array(artifactSchema),
  databases: z.array(z.unknown()),
  steps: z.array(z.unknown()),
  warnings: z.array(z.string()),
});

export type ReadManifest =
  | { readonly kind: 'manifest'; readonly manifest: Manifest; readonly text: string }
  | { readonly kind: 'other-format'; readonly format: number; readonly text: string }
  | { readonly kind: 'unreadable'; readonly why: string }
  | { readonly kind: 'none' };

/**
 * Makes a set of what lies in the store: every artifact of this host is there with its size, then SHA256SUMS, then the
 * manifest, last and at once. Refuses to replace another manifest; the same one again is an attempt whose answer got
 * lost. Where a store is not shared, each host publishes its own part, the keeper last: only then there is a set.
 */
export async function publishSet(store: Store, manifest: Manifest): Promise<SetSummary> {
  const { set } = manifest;
  const text = manifestText(manifest);
  const there = await store.readText(set, manifestName);
  if (there !== null && there !== text) {
    throw new StoreError(
      `Set ${nameOf(set)} in store ${store.name} is published already, with another manifest: nothing was changed.`,
    );
  }
  if (there === text) return summaryOf(manifest, store);
  const mine = artifactsHere(store, manifest);
  const problems = (await Promise.all(mine.map((artifact) => missing(store, set, artifact)))).flat();
  if (problems.length > 0) {
    throw new StoreError(
      `Set ${nameOf(set)} cannot be published in store ${store.name} (${store.place}) by host ${store.host}: ` +
        `${problems.join('; ')}.`,
      // What another host has just sealed may come into sight of a client of a shared store a moment later.
      { mayPass: store.shared },
    );
  }
  // What an agent left that was killed is as large as what it copied. All copies of the run are over; if this fails, they stay.
  await store.clearParts(set).catch(() => undefined);
  await store.replaceText(set, sumsName, sumsOf(mine) + manifestLine(text));
  const part = await store.create(set, manifestName, 'publish');
  try {
    await part.write(Buffer.from(text));
    await part.seal();
  } catch (error) {
    await part.discard().catch(() => undefined);
    throw error;
  }
  return summaryOf(manifest, store);
}

const listedAtOnce = 16;

/** What lies in the folders of sets. */
export interface Listing {
  /**
   * Published, oldest first. One that a later version wrote is listed with its format, one whose manifest cannot be read
   * with why; nothing else is known of them.
   */
  readonly sets: readonly SetSummary[];
  /** Without a manifest. */
  readonly remains: readonly SetRef[];
}

export async function listSets(
  store: Store,
  site: string,
  procedure?: string,
): Promise<readonly SetSummary[]> {
  return (await listFolders(store, site, procedure)).sets;
}

export async function listFolders(store: Store, site: string, procedure?: string): Promise<Listing> {
  const folders = await store.folders(site, procedure);
  // A store may take long for each answer, and has no open files for hundreds of them.
  const atATime = atMost(listedAtOnce);
  // Folders with other names are somebody else's.
  const ours = folders.filter(({ id }) => isSetId(id));
  const found = await Promise.all(ours.map((set) => atATime(() => findSet(store, set))));
  return {
    sets: found.filter((one) => one !== 'none').sort((one, other) => (one.set.id < other.set.id ? -1 : 1)),
    remains: ours.filter((_, index) => found[index] === 'none'),
  };
}

/** As it is listed. */
export async function findSet(store: Store, set: SetRef): Promise<SetSummary | 'none'> {
  const read = await readManifest(store, set);
  if (read.kind === 'none') return 'none';
  if (read.kind === 'other-format') return unknownSummary(set, store, read.format);
  const text = async (name: string) => textIn(await readSmall(store, set, name));
  const [pin, ...others] = await Promise.all([pinName, inUseName, proofsName, verifiedName].map(text));
  const [inUse = null, proved = null, readAgain = null] = others;
  const pinned = pinnedBy(pin ?? null);
  const [uses, proofs, verified] = [usesIn(inUse), proofsIn(proved), verifiedIn(readAgain)];
  if (read.kind === 'unreadable')
    return { ...unknownSummary(set, store, 0), unreadable: read.why, ...verified };
  const unclear = Object.entries({ [inUseName]: uses, [proofsName]: proofs, [verifiedName]: verified })
    .filter(([, content]) => content === null)
    .map(([name]) => name);
  const newest = proofs?.[0];
  return {
    ...summaryOf(read.manifest, store),
    ...(pinned !== null && { pinned }),
    ...(uses !== null && uses.length > 0 && { uses }),
    ...(unclear.length > 0 && { doubt: `${unclear.join(', ')} cannot be read` }),
    ...(newest !== undefined && { proof: { at: newest.at, passed: newest.passed } }),
    ...verified,
  };
}

/** The newest complete one; null: there is none. Reads no more of the store than it has to. */
export async function newestSet(store: Store, site: string, procedure: string): Promise<Manifest | null> {
  for (const set of [...(await store.folders(site, procedure))].reverse()) {
    const read = await readManifest(store, set);
    if (read.kind === 'manifest' && read.manifest.complete) return read.manifest;
  }
  return null;
}

/** Throws StoreError when there is no such set, with the nearest that there is. */
export async function showSet(store: Store, set: SetRef): Promise<Manifest> {
  const read = await readManifest(store, set);
  if (read.kind === 'manifest') return read.manifest;
  if (read.kind === 'other-format') {
    throw new StoreError(
      `Set ${nameOf(set)} has a manifest of format ${read.format}; this version reads format ${knownFormat}. ` +
        'Use the version of coldbackup that wrote it, or a later one.',
    );
  }
  if (read.kind === 'unreadable') {
    throw new StoreError(
      `The manifest of set ${nameOf(set)} in store ${store.name} (${store.place}) cannot be read: ${read.why}. ` +
        `coldbackup sets verify ${set.site} ${set.id} --store ${store.name} --mend puts it back from another store that has the set.`,
    );
  }
  const known = (await listSets(store, set.site, set.procedure)).slice(-5).map((each) => each.set.id);
  throw new StoreError(
    `There is no set ${nameOf(set)} in store ${store.name} (${store.place}) on host ${store.host}. ` +
      (known.length === 0 ? 'It holds no set of this procedure.' : `The last ones are ${known.join(', ')}.`),
  );
}

export async function readManifest(store: Store, set: SetRef): Promise<ReadManifest> {
  const file = await readSmall(store, set, manifestName);
  if (file.kind !== 'text') return file;
  const { text } = file;
  const json = parsedJson(text);
  const head = headSchema.safeParse(json);
  if (!head.success || !isSameSet(head.data.set, set))
    return { kind: 'unreadable', why: 'it is no manifest of this set' };
  if (head.data.format !== knownFormat) return { kind: 'other-format', format: head.data.format, text };
  const { error } = manifestSchema.safeParse(json);
  if (error !== undefined) return { kind: 'unreadable', why: wordsOf(error) };
  // As it was written, in its order: from that it can be written again.
  return { kind: 'manifest', manifest: json as Manifest, text };
}

export function manifestText(manifest: Manifest): string {
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

/** The artifacts that this host can see. */
export function artifactsHere(store: Store, manifest: Manifest): readonly Artifact[] {
  return manifest.artifacts.filter(
    (artifact) => artifact.store === store.name && (store.shared || artifact.host === store.host),
  );
}

/** As `sha256sum -c` reads it, with the lists of files. */
export function sumsOf(artifacts: readonly Artifact[]): string {
  return artifacts
    .flatMap(({ name, sha256, fileList }) => [
      { name, sha256 },
      { name: fileList.name, sha256: fileList.sha256 },
    ])
    .map(({ name, sha256 }) =>
      listLine({ path: Buffer.from(filePath(name)).toString('latin1'), sha256 }).toString(),
    )
    .join('');
}

/** The last line of SHA256SUMS. */
export function manifestLine(text: string): string {
  return `${sha256Of(text)}  ${manifestName}\n`;
}

/** What SHA256SUMS says of the manifest, and of the artifacts. */
export function readSums(sums: string): { readonly manifest: string | null; readonly artifacts: string } {
  const found = /^([0-9a-f]{64}) {2}manifest\.json\n/m.exec(sums);
  // Sets of earlier versions have none.
  if (found === null) return { manifest: null, artifacts: sums };
  return { manifest: found[1] ?? '', artifacts: sums.replace(found[0], '') };
}

export function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

export function nameOf(set: SetRef): string {
  return `${set.site}/${set.procedure}/${set.id}`;
}

async function missing(store: Store, set: SetRef, artifact: Artifact): Promise<readonly string[]> {
  const files = [artifact, artifact.fileList];
  const sizes = await Promise.all(files.map(({ name }) => store.sizeBytes(set, name)));
  return files.flatMap(({ name, sizeBytes }, index) => {
    const found = sizes[index] ?? null;
    if (found === null) return [`${name} is missing`];
    return found === sizeBytes ? [] : [`${name} has ${found} bytes instead of ${sizeBytes}`];
  });
}

function summaryOf(manifest: Manifest, store: Store): SetSummary {
  const here = manifest.artifacts.filter((artifact) => artifact.store === store.name);
  return {
    set: manifest.set,
    store: store.name,
    format: manifest.format,
    night: manifest.night,
    publishedAt: manifest.publishedAt,
    sizeBytes: here.reduce((sum, { sizeBytes, fileList }) => sum + sizeBytes + fileList.sizeBytes, 0),
    artifacts: here.length,
    complete: manifest.complete,
  };
}

function unknownSummary(set: SetRef, store: Store, format: number): SetSummary {
  return {
    set,
    store: store.name,
    format,
    night: set.id.slice(0, 10),
    publishedAt: '',
    sizeBytes: 0,
    artifacts: 0,
    complete: false,
  };
}

function isSameSet(one: SetRef, other: SetRef): boolean {
  return one.site === other.site && one.procedure === other.procedure && one.id === other.id;
}

function isFileName(name: string): boolean {
  try {
    return filePath(name) === name;
  } catch {
    return false;
  }
}

function wordsOf({ issues }: z.ZodError): string {
  return issues
    .slice(0, 3)
    .map(({ path, message }) => `${path.join('.')}: ${message}`)
    .join('; ');
}
