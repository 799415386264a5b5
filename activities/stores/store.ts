import type { SetRef } from '../../model/manifest.ts';
import type { Encryption, HostName } from '../../model/site.ts';

/**
 * Where sets go. A kind of store is these few things; publishing, listing, verifying and pruning are made of them and
 * are the same for every kind. All throw StoreError, with the host and what to do.
 */
export interface Store {
  /** As the site file calls it. */
  readonly name: string;
  readonly host: HostName;
  /** false: this host sees only its own artifacts. */
  readonly shared: boolean;
  /** For people: where it is. */
  readonly place: string;
  /** How archives and their lists are encrypted before they get here; absent: not at all. The store itself does nothing of it. */
  readonly encrypt?: Encryption;

  /** It keeps once what is there several times: what is compressed for it should begin anew where content does. */
  readonly deduplicates?: true;

  /**
   * Begins a file; it has no name that counts until it is sealed. An older part of the same owner is dropped.
   * @param atMostBytes what is foreseen to be written; more is taken all the same.
   */
  create(set: SetRef, file: string, owner: string, atMostBytes?: number): Promise<Part>;
  /** null: there is no such file. */
  sizeBytes(set: SetRef, file: string): Promise<number | null>;
  read(set: SetRef, file: string): AsyncIterable<Buffer>;
  /** null: there is no such file. For small files. */
  readText(set: SetRef, file: string): Promise<string | null>;
  /** As a whole: after a crash there is the old text or the new one. */
  replaceText(set: SetRef, file: string, text: string): Promise<void>;

  /** Every folder where a set may lie, published or not; in name order. */
  folders(site: string, procedure?: string): Promise<readonly SetRef[]>;
  /** The last time that anything in the folder changed, in ms since 1970; null: nothing is there. */
  lastChangeMs(set: SetRef): Promise<number | null>;
  /** What writers that are gone have left in it. Only when nobody writes there any more. */
  clearParts(set: SetRef): Promise<void>;
  /** Takes one file out of a set, for a better copy of it; none is there: nothing to do. */
  drop(set: SetRef, file: string): Promise<void>;
  /** The manifest goes first: from then on it is no set. */
  remove(set: SetRef): Promise<void>;

  /** Gives back the room of what was removed, where that is work of its own. Once after many removals. */
  tidy?(): Promise<void>;

  /** null: this kind cannot say. */
  freeBytes(): Promise<number | null>;
  writeToken(token: string): Promise<void>;
  hasToken(token: string): Promise<boolean>;
  removeToken(token: string): Promise<void>;
}

export interface Part {
  /** Resolves when more is welcome; a failure may come with a later write, or with the seal. */
  write(chunk: Buffer): Promise<void>;
  /** On the disk, and under its name; fails when that name is taken. */
  seal(): Promise<void>;
  /** Nothing of it stays, not even when it was just sealed: an ended copy counts for nothing. */
  discard(): Promise<void>;
}

/** null: of nothing. */
export function latest(instantsMs: readonly number[]): number | null {
  return instantsMs.reduce<number | null>((last, ms) => Math.max(last ?? 0, ms), null);
}
