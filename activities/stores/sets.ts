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
import type { Store } from './store.ts';

const knownFormat = 1;

const artifactSchema = z.looseObject({
  name: z.string(),
  store: z.string(),
  host: z.string(),
  sizeBytes: z.number(),
  sha256: z.string(),
  fileList: z.looseObject({ name: z.string(), sha256: z.string(), sizeBytes: z.number() }),
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
  | { readonly kind: 'manifest'; readonly manifest: Manifest }
  | { readonly kind: 'other-format'; readonly format: number; readonly text: string }
  | { readonly kind: 'none' | 'rubbish' };

/**
 * Makes a set of what lies in the store: every artifact of this host is there with its size, then SHA256SUMS, then the
 * manifest, last and at once. Refuses to replace another manifest; the same one again is an attempt whose answer got
 * lost. Where a store is not shared, each host publishes its own part, the keeper last: only then there is a set.
 */
export async function publishSet(store: Store, manifest: Manifest): Promise<SetSummary> {
  const { set } = manifest;
  const text = `${JSON.stringify(manifest, null, 2)}\n`;
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
  await store.replaceText(set, sumsName, sumsOf(mine));
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
  /** Published, oldest first. One that a later version wrote has its format, and nothing else is known. */
  readonly sets: readonly SetSummary[];
  /** With a manifest that cannot be read. */
  readonly unreadable: readonly SetRef[];
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
  const found = await Promise.all(folders.map((set) => atATime(() => findSet(store, set))));
  // Folders with other names are somebody else's.
  const ours = folders.filter(({ id }) => isSetId(id));
  const without = (kind: 'unreadable' | 'none') => ours.filter((set) => found[folders.indexOf(set)] === kind);
  return {
    sets: found
      .filter((one) => typeof one !== 'string')
      .sort((one, other) => (one.set.id < other.set.id ? -1 : 1)),
    unreadable: without('unreadable'),
    remains: without('none'),
  };
}

/** As it is listed. */
export async function findSet(store: Store, set: SetRef): Promise<SetSummary | 'unreadable' | 'none'> {
  const read = await readManifest(store, set);
  if (read.kind === 'other-format') return unknownSummary(set, store, read.format);
  if (read.kind !== 'manifest') return read.kind === 'none' ? 'none' : 'unreadable';
  const text = (name: string) => store.readText(set, name);
  const [pin, ...others] = await Promise.all([pinName, inUseName, proofsName, verifiedName].map(text));
  const [inUse = null, proved = null, readAgain = null] = others;
  const pinned = pinnedBy(pin ?? null);
  const [uses, proofs, verified] = [usesIn(inUse), proofsIn(proved), verifiedIn(readAgain)];
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
  const known = (await listSets(store, set.site, set.procedure)).slice(-5).map((each) => each.set.id);
  throw new StoreError(
    `There is no set ${nameOf(set)} in store ${store.name} (${store.place}) on host ${store.host}. ` +
      (known.length === 0 ? 'It holds no set of this procedure.' : `The last ones are ${known.join(', ')}.`),
  );
}

/** One of ours has a few kB for each artifact. What is larger would only fill the memory of whoever lists the store. */
const mostManifestBytes = 64 * 1024 * 1024;

export async function readManifest(store: Store, set: SetRef): Promise<ReadManifest> {
  const sizeBytes = await store.sizeBytes(set, manifestName);
  if (sizeBytes !== null && sizeBytes > mostManifestBytes) return { kind: 'rubbish' };
  const text = sizeBytes === null ? null : await store.readText(set, manifestName);
  if (text === null) return { kind: 'none' };
  const head = headSchema.safeParse(parsedJson(text));
  if (!head.success || !isSameSet(head.data.set, set)) return { kind: 'rubbish' };
  if (head.data.format !== knownFormat) return { kind: 'other-format', format: head.data.format, text };
  if (!manifestSchema.safeParse(head.data).success) return { kind: 'rubbish' };
  return { kind: 'manifest', manifest: head.data as unknown as Manifest };
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
