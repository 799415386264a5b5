import { createHash, hash as hashOf, type Hash } from 'node:crypto';
import type { ListedFile } from './file-list.ts';
import { createTarReader } from './tar-reader.ts';
import type { TarEntry, TarReader } from './tar-reader.ts';

export interface TarDigests extends TarReader {
  /** The files whose content has passed since the last call. */
  takeFiles(): readonly ListedFile[];
  readonly totals: TarTotals;
}

export interface TarTotals {
  /** Files with content of their own. */
  files: number;
  hardLinks: number;
  others: number;
  contentBytes: number;
}

const emptySha256 = hashOf('sha256', '');

/** Takes the SHA-256 of each file's content out of the stream of a tar archive. `onEntry` may throw to refuse one. */
export function createTarDigests(onEntry: (entry: TarEntry) => void = () => undefined): TarDigests {
  const totals: TarTotals = { files: 0, hardLinks: 0, others: 0, contentBytes: 0 };
  let files: ListedFile[] = [];
  let path = '';
  let sizeBytes = 0;
  /** Of a file whose content comes in several pieces. */
  let hash: Hash | null = null;
  let sha256 = '';
  const reader = createTarReader({
    entry(entry) {
      onEntry(entry);
      if (entry.kind === 'hard-link') totals.hardLinks += 1;
      else if (entry.kind !== 'file') totals.others += 1;
      if (entry.kind !== 'file') return;
      totals.files += 1;
      ({ path, sizeBytes } = entry);
      sha256 = emptySha256;
    },
    content(chunk) {
      totals.contentBytes += chunk.length;
      if (chunk.length === sizeBytes) sha256 = hashOf('sha256', chunk);
      else (hash ??= createHash('sha256')).update(chunk);
    },
    fileEnd() {
      files.push({ path, sha256: hash?.digest('hex') ?? sha256 });
      hash = null;
    },
  });
  return {
    ...reader,
    takeFiles() {
      const taken = files;
      if (taken.length > 0) files = [];
      return taken;
    },
    totals,
  };
}
