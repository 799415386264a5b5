import { z } from 'zod';
import type { Proof, SetRef } from '../../model/manifest.ts';
import { whileNobodyRemoves } from './in-use.ts';
import { parsedJson } from './json.ts';
import { StoreError, manifestName } from './names.ts';
import { readSmall, textIn } from './small.ts';
import type { Store } from './store.ts';

export const proofsName = 'proofs.json';
/** Older ones are forgotten: the trend is enough. */
const maxProofs = 50;

const proofsSchema = z.looseObject({
  format: z.literal(1),
  proofs: z.array(z.looseObject({ at: z.string(), passed: z.boolean() })),
});

/** The newest first; what cannot be read proves nothing. */
export async function readProofs(store: Store, set: SetRef): Promise<readonly Proof[]> {
  return proofsIn(textIn(await readSmall(store, set, proofsName))) ?? [];
}

/** null: they cannot be read. */
export function proofsIn(text: string | null): readonly Proof[] | null {
  if (text === null) return [];
  const parsed = proofsSchema.safeParse(parsedJson(text));
  return parsed.success ? (parsed.data.proofs as unknown as readonly Proof[]) : null;
}

/** Beside the manifest, as a whole; the same one again is an attempt whose answer got lost. By the keeper alone. */
export async function recordProof(store: Store, set: SetRef, proof: Proof): Promise<void> {
  await whileNobodyRemoves(store, set, async () => {
    if ((await store.sizeBytes(set, manifestName)) === null)
      throw new StoreError(
        `Set ${set.id} is no longer in store ${store.name}: there is nothing to be proven.`,
      );
    const earlier = (await readProofs(store, set)).filter(({ runId }) => runId !== proof.runId);
    const proofs = [proof, ...earlier].slice(0, maxProofs);
    await store.replaceText(set, proofsName, `${JSON.stringify({ format: 1, proofs }, null, 2)}\n`);
  });
}
