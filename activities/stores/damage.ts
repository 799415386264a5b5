import { setTimeout as sleep } from 'node:timers/promises';
import type { SetRef } from '../../model/manifest.ts';
import { StoreError, manifestName } from './names.ts';
import type { Store } from './store.ts';

/** A line or a server that fails now and then does so at other places. */
const pausesMs = [250, 500];
/** What a reader was given before an error is not exact to the byte. */
const samePlaceBytes = 16 * 1024 * 1024;

export interface StoredFile {
  readonly store: Store;
  readonly set: SetRef;
  readonly file: string;
  readonly signal: AbortSignal;
}

/**
 * A file as far as it can be read. What is damaged is a problem, and ends it: the store itself says so, or it fails at the
 * same place each time, while the store answers otherwise. Any other failure of the store is thrown.
 */
export async function* readable(stored: StoredFile, problem: (what: string) => void): AsyncGenerator<Buffer> {
  const { store, set, file } = stored;
  let readBytes = 0;
  try {
    for await (const chunk of store.read(set, file)) {
      readBytes += chunk.length;
      yield chunk;
    }
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    if (!error.damaged && !(await failsAgain(stored, readBytes))) throw error;
    problem(error.message);
  }
}

/** Throws what the store says where it does not answer at all. */
async function failsAgain(stored: StoredFile, readBytes: number): Promise<boolean> {
  const { store, set, file, signal } = stored;
  for (const pauseMs of pausesMs) {
    await sleep(pauseMs, undefined, { signal });
    if (file === manifestName) await store.folders(set.site, set.procedure);
    else await store.readText(set, manifestName);
    if (!(await failsBefore(stored, readBytes + samePlaceBytes))) return false;
  }
  return true;
}

async function failsBefore({ store, set, file, signal }: StoredFile, placeBytes: number): Promise<boolean> {
  let readBytes = 0;
  try {
    for await (const chunk of store.read(set, file)) {
      signal.throwIfAborted();
      readBytes += chunk.length;
      if (readBytes > placeBytes) return false;
    }
    return false;
  } catch (error) {
    if (error instanceof StoreError) return true;
    throw error;
  }
}
