import { z } from 'zod';
import type { SetRef, SetUse } from '../../model/manifest.ts';
import type { Instant } from '../../model/plan.ts';
import { parsedJson } from './json.ts';
import { StoreError, manifestName, setPath } from './names.ts';
import type { Store } from './store.ts';
import { inTurn } from './turns.ts';

/** On the keeper, whose list decides what goes everywhere; on disks of their own also where a part is read. */
export const inUseName = 'in-use.json';

const usesSchema = z.object({
  format: z.literal(1),
  uses: z.array(
    z.object({ what: z.string(), workflowId: z.string(), runId: z.string(), until: z.iso.datetime() }),
  ),
});

/** null: they cannot be read. */
export function usesIn(text: string | null): readonly SetUse[] | null {
  if (text === null || text === '') return [];
  const parsed = usesSchema.safeParse(parsedJson(text));
  return parsed.success ? parsed.data.uses : null;
}

/**
 * From now on this run reads the set, until then at the latest; null: no longer. One agent alone writes for a host.
 * @throws StoreError when the set is gone
 */
export async function useSet(
  store: Store,
  set: SetRef,
  { until, ...use }: Omit<SetUse, 'until'> & { readonly until: Instant | null },
): Promise<void> {
  await whileNobodyRemoves(store, set, async () => {
    const isThere = (await store.sizeBytes(set, manifestName)) !== null;
    if (!isThere && until === null) return;
    if (!isThere)
      throw new StoreError(`Set ${set.id} is no longer in store ${store.name} on host ${store.host}.`);
    const now = new Date().toISOString();
    const others = (usesIn(await store.readText(set, inUseName)) ?? []).filter(
      (one) => one.runId !== use.runId && one.until > now,
    );
    const uses = [...others, ...(until === null ? [] : [{ ...use, until }])];
    if (uses.length === 0) await store.drop(set, inUseName);
    else await store.replaceText(set, inUseName, `${JSON.stringify({ format: 1, uses }, null, 2)}\n`);
  });
}

/** What keeps a set is written either before it is looked at to be removed, or when it is gone. */
export function whileNobodyRemoves<T>(store: Store, set: SetRef, action: () => Promise<T>): Promise<T> {
  return inTurn(`${store.name} on ${store.host}: ${setPath(set)}`, action);
}
