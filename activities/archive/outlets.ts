import type { SetRef } from '../../model/manifest.ts';
import { StoreError } from '../stores/names.ts';
import type { Store } from '../stores/store.ts';
import type { RunningProcess } from '../system/command.ts';
import { createStoredFile, type Digest, type StoredFile } from './stored-file.ts';

/** One of the stores that a read goes to. */
export interface Outlet {
  readonly store: Store;
  readonly archive: StoredFile;
  readonly list: StoredFile;
}

export interface Outlets {
  /** To all that are left; resolves when the slowest welcomes more. */
  write(file: 'archive' | 'list', chunk: Buffer): Promise<void>;
  /** Seals in each; what lies there, by store. */
  seal(digests: { readonly archive: Digest; readonly list: Digest }): Promise<readonly Sealed[]>;
  readonly failed: ReadonlyMap<string, unknown>;
  /** Nothing of it stays anywhere. */
  discard(): Promise<void>;
}

export interface Sealed {
  readonly store: Store;
  readonly archive: Digest;
  readonly list: Digest;
}

export interface OutletsSpec {
  readonly stores: readonly Store[];
  readonly set: SetRef;
  readonly archive: string;
  readonly list: string;
  readonly owner: string;
  /** What the archive may have, encrypted or not. */
  readonly atMostBytes: number;
  /** any: a store that fails is left out, while there is another one. all: it ends the copy. */
  readonly needs: 'all' | 'any';
  readonly start: (argv: readonly string[], stdin: 'pipe') => RunningProcess;
  /** Throws when the copy was given up meanwhile. */
  readonly mustGoOn: () => void;
}

/** Files of several stores, written at the same time from one read. */
export async function openOutlets(spec: OutletsSpec): Promise<Outlets> {
  const { set, owner, needs, start } = spec;
  const begun: StoredFile[] = [];
  const failed = new Map<string, unknown>();
  let left: Outlet[] = [];

  const begin = async (store: Store, file: string, atMostBytes?: number): Promise<StoredFile> => {
    const part = await store.create(set, file, owner, atMostBytes);
    const stored = createStoredFile(part, store.encrypt, start);
    begun.push(stored);
    try {
      spec.mustGoOn();
    } catch (error) {
      await stored.discard().catch(() => undefined);
      throw error;
    }
    return stored;
  };
  const discard = async (): Promise<void> => {
    const ends = await Promise.allSettled(begun.map((file) => file.discard()));
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  };
  try {
    const opened = await ofEach(
      spec.stores,
      ({ name }) => name,
      async (store): Promise<Outlet> => {
        const archive = await begin(store, spec.archive, spec.atMostBytes);
        return { store, archive, list: await begin(store, spec.list) };
      },
    );
    left = [...opened];
  } catch (error) {
    await discard().catch(() => undefined);
    throw error;
  }

  return {
    failed,
    discard,
    async write(file, chunk) {
      const outlets = left;
      await ofEach(
        outlets,
        ({ store }) => store.name,
        (outlet) => outlet[file].write(chunk),
      );
    },
    async seal(digests) {
      return ofEach(
        left,
        ({ store }) => store.name,
        async ({ store, archive, list }): Promise<Sealed> => {
          const own = { archive: await archive.end(), list: await list.end() };
          spec.mustGoOn();
          await list.seal();
          await archive.seal();
          return { store, archive: own.archive ?? digests.archive, list: own.list ?? digests.list };
        },
      );
    },
  };

  /** At the same time; one that fails is out, and the last that is left ends it all. */
  async function ofEach<T, R>(
    items: readonly T[],
    nameOf: (item: T) => string,
    work: (item: T) => Promise<R>,
  ): Promise<readonly R[]> {
    const results = await Promise.all(
      items.map(async (item): Promise<readonly R[]> => {
        try {
          return [await work(item)];
        } catch (error) {
          spec.mustGoOn();
          leaveOut(nameOf(item), error);
          return [];
        }
      }),
    );
    return results.flat();
  }

  function leaveOut(name: string, error: unknown): void {
    if (failed.has(name)) return;
    failed.set(name, error);
    const outlet = left.find(({ store }) => store.name === name);
    left = left.filter((other) => other !== outlet);
    void Promise.allSettled([outlet?.archive.discard(), outlet?.list.discard()]);
    if (needs === 'all' || failed.size === spec.stores.length) throw allFailed(failed, error);
  }
}

function allFailed(failed: ReadonlyMap<string, unknown>, last: unknown): unknown {
  if (failed.size === 1) return last;
  const errors = [...failed.values()];
  return new StoreError(
    errors.map((error) => (error instanceof Error ? error.message : String(error))).join(' '),
    {
      cause: last,
      mayPass: errors.some((error) => error instanceof StoreError && error.mayPass),
    },
  );
}
