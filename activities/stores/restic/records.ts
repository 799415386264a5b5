import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import type { SetRef } from '../../../model/manifest.ts';

/**
 * A snapshot of ours. All that one writer makes of one file has one nonce:
 * - `mark`: a file is under way; it says so until it is sealed
 * - `content`: what was written, however it ended: restic cannot tell a writer that died from one that is done
 * - `seal`: the content of this nonce is whole, and counts
 * - `file`: a small file that counts at once
 * - `void`: says only which nonces count no longer
 */
export interface RecordSpec {
  readonly kind: (typeof kinds)[number];
  readonly nonce: string;
  /** Of the one file in the snapshot, without the slash at the start. */
  readonly path: string;
  /** Of the file that is sealed with it. */
  readonly sizeBytes?: number;
  /** From now on nothing with these nonces counts, whenever it is written. */
  readonly voids?: readonly string[];
}

export interface StoredRecord extends Required<RecordSpec> {
  /** Of the snapshot. */
  readonly id: string;
  readonly atMs: number;
}

const kinds = ['mark', 'content', 'seal', 'file', 'void'] as const;
/** What is not tagged so is somebody else's. */
export const ourTag = 'coldbackup';
/** Of every snapshot, whichever host makes it: `restic forget` with rules for other hosts leaves ours alone. */
export const ourHost = 'coldbackup';

let lastMs = 0;

/** Later ones of one process sort after earlier ones. */
export function newNonce(): string {
  lastMs = Math.max(Date.now(), lastMs + 1);
  return lastMs.toString(16).padStart(12, '0') + randomBytes(4).toString('hex');
}

export function tagsOf({ kind, nonce, sizeBytes, voids = [] }: RecordSpec): readonly string[] {
  return [
    ...[ourTag, kind, `nonce=${nonce}`],
    ...(sizeBytes === undefined ? [] : [`bytes=${sizeBytes}`]),
    ...voids.map((each) => `void=${each}`),
  ];
}

const snapshotsSchema = z.array(
  z.looseObject({
    id: z.string(),
    time: z.string(),
    paths: z.array(z.string()).nullish(),
    tags: z.array(z.string()).nullish(),
  }),
);

/** Of what `restic snapshots --json` prints; null is what some versions print for none. */
export function recordsIn(json: unknown): readonly StoredRecord[] {
  return snapshotsSchema.parse(json ?? []).flatMap(({ id, time, paths, tags }) => {
    const kind = kinds.find((each) => tags?.includes(each));
    const valuesOf = (name: string): readonly string[] =>
      (tags ?? []).filter((tag) => tag.startsWith(`${name}=`)).map((tag) => tag.slice(name.length + 1));
    const [nonce] = valuesOf('nonce');
    const [path] = paths ?? [];
    if (!tags?.includes(ourTag) || kind === undefined || nonce === undefined || path === undefined) return [];
    return [
      {
        ...{ id, kind, nonce, path: path.replace(/^\/+/, '') },
        ...{ sizeBytes: Number(valuesOf('bytes')[0] ?? 0), voids: valuesOf('void'), atMs: Date.parse(time) },
      },
    ];
  });
}

/** What the snapshots of a repository say together. */
export interface Contents {
  readonly all: readonly StoredRecord[];
  /** Those that nothing has voided, without the voids themselves. */
  readonly live: readonly StoredRecord[];
  /** That count, by path, with their sizes. */
  readonly files: ReadonlyMap<string, readonly StoredRecord[]>;
}

export function contentsOf(records: readonly StoredRecord[]): Contents {
  const voided = voidedIn(records);
  const live = records.filter(({ kind, nonce }) => kind !== 'void' && !voided.has(nonce));
  const seals = new Map(live.filter(({ kind }) => kind === 'seal').map((seal) => [seal.nonce, seal]));
  const files = new Map<string, readonly StoredRecord[]>();
  for (const record of live) {
    const seal = seals.get(record.nonce);
    const isWhole = record.kind === 'file' || (record.kind === 'content' && seal !== undefined);
    if (!isWhole) continue;
    const file = seal === undefined ? record : { ...record, sizeBytes: seal.sizeBytes, atMs: seal.atMs };
    files.set(record.path, [...(files.get(record.path) ?? []), file]);
  }
  return { all: records, live, files };
}

/** Of several at one path the first counts: the others are about to be taken back. */
export function fileAt({ files }: Contents, path: string): StoredRecord | null {
  const [first = null] = [...(files.get(path) ?? [])].sort(
    (one, other) => one.atMs - other.atMs || (one.nonce < other.nonce ? -1 : 1),
  );
  return first;
}

export interface Rubbish {
  readonly first: readonly StoredRecord[];
  readonly then: readonly StoredRecord[];
  /** Of what was voided nothing is left but that: an earlier time did not come to its end. */
  readonly isCutShort: boolean;
}

/** A writer that seals looks for its own mark right after. */
const sealedForMs = 3_600_000;

/**
 * What may be forgotten: first what says nothing of others, then what voids them. The other way round, what was voided
 * would count again for a moment, and after a crash for good.
 */
export function rubbishIn(records: readonly StoredRecord[], nowMs: number): Rubbish {
  const voided = voidedIn(records);
  const { live, files } = contentsOf(records);
  const sealed = new Set(
    [...files.values()]
      .flat()
      .filter(({ atMs }) => nowMs - atMs > sealedForMs)
      .map(({ nonce }) => nonce),
  );
  const done = live.filter(({ kind, nonce }) => kind === 'mark' && sealed.has(nonce));
  const gone = records.filter(({ kind, nonce }) => kind !== 'void' && voided.has(nonce));
  const there = new Set(records.map(({ nonce }) => nonce));
  return {
    isCutShort: records.some(({ kind, voids }) => kind === 'void' && !voids.some((each) => there.has(each))),
    first: [...done, ...gone.filter(({ voids }) => voids.length === 0)],
    then: [...gone.filter(({ voids }) => voids.length > 0), ...records.filter(({ kind }) => kind === 'void')],
  };
}

function voidedIn(records: readonly StoredRecord[]): ReadonlySet<string> {
  return new Set(records.flatMap(({ voids }) => voids));
}

/** null: it belongs to no set. */
export function setAt(path: string): { readonly set: SetRef; readonly file: string } | null {
  const [site, procedure, id, ...names] = path.split('/');
  if (site === undefined || procedure === undefined || id === undefined || names.length === 0) return null;
  return { set: { site, procedure, id }, file: names.join('/') };
}
