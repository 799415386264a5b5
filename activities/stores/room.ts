import type { Plan } from '../../model/plan.ts';
import type { Check } from '../../model/progress.ts';
import type { HostName, Retention, Site } from '../../model/site.ts';
import { openStore } from './activities.ts';
import { lastSet, sizeText } from './checks.ts';
import { listSets } from './sets.ts';

/** Where nothing ever goes, this many nights ahead are time enough to do something about it. */
const aheadSets = 30;

/**
 * The sets that retention will keep fit on the disk, if they stay as large as the last one: said before it is full.
 * Nothing before the first set, and of a store that cannot say its room.
 */
export async function checkRoomAhead(
  site: Site,
  name: string,
  host: HostName,
  plan: Pick<Plan, 'site' | 'procedure' | 'keep'>,
): Promise<readonly Check[]> {
  const store = openStore(site, host, name);
  const last = await lastSet(store, plan);
  if (last === null) return [];
  const freeBytes = await store.freeBytes();
  if (freeBytes === null) return [];
  const there = (await listSets(store, plan.site, plan.procedure)).length;
  const kept = mostSets(plan.keep, site.procedures[plan.procedure]?.start?.days.length ?? 7);
  const toCome = kept === null ? aheadSets : Math.max(0, kept - there);
  if (freeBytes >= toCome * last.sizeBytes) return [];
  const rule = kept === null ? 'without keep nothing ever goes' : `keep lets at most ${kept} sets stay`;
  return [
    {
      ...({ host, subject: `store ${name}`, verdict: 'warning' } as const),
      detail: `${rule}, ${there} are there; one takes ${sizeText(last.sizeBytes)}: full after ${Math.floor(freeBytes / last.sizeBytes)} more (${sizeText(freeBytes)} free)`,
      hint: `make room for ${sizeText(toCome * last.sizeBytes)}, or keep fewer sets`,
    },
  ];
}

/** What the rules of retention keep at most: one set may serve several. null: nothing ever goes. */
export function mostSets(keep: Retention | null, perWeek: number): number | null {
  const { withinDays = 0, ...counts } = keep ?? {};
  const rules = [...Object.values(counts), Math.ceil((withinDays * perWeek) / 7)];
  const most = rules.reduce((sum, count) => sum + count, 0);
  return most === 0 ? null : most;
}
