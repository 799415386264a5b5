import { z } from 'zod';
import type { SetRef, SetSummary, VerificationRecord } from '../../model/manifest.ts';
import { parsedJson } from './json.ts';
import { StoreError, manifestName } from './names.ts';
import type { Store } from './store.ts';

export const verifiedName = 'verified.json';

const recordSchema = z.looseObject({
  format: z.literal(1),
  at: z.string(),
  problems: z.array(z.string()),
  mended: z.array(z.string()),
});

/** Nothing where it was never read again; null: what was written then cannot be read. */
export function verifiedIn(text: string | null): Pick<SetSummary, 'verified'> | null {
  if (text === null) return {};
  const parsed = recordSchema.safeParse(parsedJson(text));
  if (!parsed.success) return null;
  const { at, problems, mended } = parsed.data;
  return { verified: { at, passed: problems.length === 0, mended: mended.length > 0 } };
}

/** By the keeper alone. */
export async function recordVerification(
  store: Store,
  set: SetRef,
  record: VerificationRecord,
): Promise<void> {
  if ((await store.sizeBytes(set, manifestName)) === null)
    throw new StoreError(`Set ${set.id} is no longer in store ${store.name}: nothing is recorded.`);
  await store.replaceText(set, verifiedName, `${JSON.stringify({ format: 1, ...record }, null, 2)}\n`);
}
