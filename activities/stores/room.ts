import type { Check } from '../../model/progress.ts';
import type { Retention } from '../../model/site.ts';
import type { Taken } from '../system/rooms.ts';
import { sizeText } from './size-text.ts';

/** Where nothing ever goes, this many nights ahead are time enough to do something about it. */
const aheadSets = 30;

export interface Room {
  /** Of the last set, on this host. */
  readonly setBytes: number;
  /** How much larger than it the next one will be; each after it by as much again. */
  readonly growthBytes: number;
  readonly freeBytes: number;
  /** So many sets. */
  readonly there: number;
  /** By retention, at most; null: nothing ever goes. */
  readonly kept: number | null;
}

/** The sets that retention will keep fit on the disk, if they grow as they did: said before it is full. */
export function checkRoomAhead(check: Pick<Check, 'host' | 'subject'>, room: Room): readonly Check[] {
  const { setBytes, growthBytes, freeBytes, there, kept } = room;
  const toCome = kept === null ? aheadSets : Math.max(0, kept - there);
  if (freeBytes >= bytesOf(room, toCome)) return [];
  const fits = Array.from({ length: toCome }, (_, index) => index).findLast(
    (count) => bytesOf(room, count) <= freeBytes,
  );
  const grows = growthBytes === 0 ? '' : `, each ${sizeText(growthBytes)} more than the one before`;
  const rule = kept === null ? 'without keep nothing ever goes' : `keep lets at most ${kept} sets stay`;
  return [
    {
      ...check,
      verdict: 'warning',
      detail: `${rule}, ${there} are there; one takes ${sizeText(setBytes)}${grows}: full after ${fits ?? 0} more (${sizeText(freeBytes)} free)`,
      hint: `make room for ${sizeText(bytesOf(room, toCome))}, or keep fewer sets`,
    },
  ];
}

/** So many sets to come. */
function bytesOf({ setBytes, growthBytes }: Pick<Room, 'setBytes' | 'growthBytes'>, count: number): number {
  return count * setBytes + (growthBytes * count * (count + 1)) / 2;
}

/**
 * By which part of the last set one grows to the next: the median of the last ten steps, and never below 0. Of fewer than
 * four sets nothing is said: 0.
 */
export function growthOf(sizes: readonly number[]): number {
  const newest = sizes.slice(-11);
  const last = newest.at(-1) ?? 0;
  if (newest.length < 4 || last === 0) return 0;
  const steps = newest.slice(1).map((size, index) => size - (newest[index] ?? size));
  const ordered = steps.sort((one, other) => one - other);
  return Math.max(0, ordered[Math.floor((ordered.length - 1) / 2)] ?? 0) / last;
}

/** Of what is free, no more than the quota leaves. null: neither is known. */
export function roomLeft(
  freeBytes: number | null,
  quotaBytes: number | undefined,
  usedBytes: number,
): number | null {
  if (quotaBytes === undefined) return freeBytes;
  return Math.min(freeBytes ?? Infinity, Math.max(0, quotaBytes - usedBytes));
}

/** `, less up to 70.0 MB for store vault`; empty where nobody else writes there. */
export function takenText({ mostBytes, by }: Taken): string {
  return mostBytes === 0 ? '' : `, less up to ${sizeText(mostBytes)} for ${by.join(', ')}`;
}

/** What the rules of retention keep at most: one set may serve several. null: nothing ever goes. */
export function mostSets(keep: Retention | null, perWeek: number): number | null {
  const { withinDays = 0, ...counts } = keep ?? {};
  const rules = [...Object.values(counts), Math.ceil((withinDays * perWeek) / 7)];
  const most = rules.reduce((sum, count) => sum + count, 0);
  return most === 0 ? null : most;
}
