import type { Check } from '../../model/progress.ts';
import type { Retention } from '../../model/site.ts';
import { sizeText } from './size-text.ts';

/** Where nothing ever goes, this many nights ahead are time enough to do something about it. */
const aheadSets = 30;

export interface Room {
  /** Of the last set, on this host. */
  readonly setBytes: number;
  readonly freeBytes: number;
  /** So many sets. */
  readonly there: number;
  /** By retention, at most; null: nothing ever goes. */
  readonly kept: number | null;
}

/** The sets that retention will keep fit on the disk, if they stay as large as the last one: said before it is full. */
export function checkRoomAhead(
  check: Pick<Check, 'host' | 'subject'>,
  { setBytes, freeBytes, there, kept }: Room,
): readonly Check[] {
  const toCome = kept === null ? aheadSets : Math.max(0, kept - there);
  if (freeBytes >= toCome * setBytes) return [];
  const rule = kept === null ? 'without keep nothing ever goes' : `keep lets at most ${kept} sets stay`;
  return [
    {
      ...check,
      verdict: 'warning',
      detail: `${rule}, ${there} are there; one takes ${sizeText(setBytes)}: full after ${Math.floor(freeBytes / setBytes)} more (${sizeText(freeBytes)} free)`,
      hint: `make room for ${sizeText(toCome * setBytes)}, or keep fewer sets`,
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
