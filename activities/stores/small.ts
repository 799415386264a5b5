import type { SetRef } from '../../model/manifest.ts';
import { readable } from './damage.ts';
import { StoreError } from './names.ts';
import type { Store } from './store.ts';

/** One of ours has a few kB for each artifact. What is larger would only fill the memory of whoever lists the store. */
const mostBytes = 64 * 1024 * 1024;
const never = new AbortController().signal;

export type SmallFile =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'none' }
  | { readonly kind: 'unreadable'; readonly why: string };

/** What lies beside the artifacts of a set. Too large or damaged, it is unreadable; a store that is away throws. */
export async function readSmall(store: Store, set: SetRef, file: string): Promise<SmallFile> {
  const sizeBytes = await store.sizeBytes(set, file);
  if (sizeBytes === null) return { kind: 'none' };
  if (sizeBytes > mostBytes)
    return { kind: 'unreadable', why: `has ${sizeBytes} bytes; more than ${mostBytes} are not read` };
  try {
    const text = await store.readText(set, file);
    return text === null ? { kind: 'none' } : { kind: 'text', text };
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
  }
  const problems: string[] = [];
  const pieces: Buffer[] = [];
  const again = readable({ store, set, file, signal: never }, (what) => problems.push(what));
  for await (const piece of again) pieces.push(piece);
  const [why] = problems;
  if (why !== undefined) return { kind: 'unreadable', why };
  return { kind: 'text', text: Buffer.concat(pieces).toString('utf8') };
}

/** null: there is none. Of what cannot be read a text that is no JSON: whoever parses it must not take it for nothing. */
export function textIn(file: SmallFile): string | null {
  if (file.kind === 'none') return null;
  return file.kind === 'text' ? file.text : file.why;
}
