import type { SetRef } from './manifest.ts';
import type { Instant } from './plan.ts';
import type { Retention } from './site.ts';

/** What retention looks at of a published set. */
export interface RetainedSet {
  readonly set: SetRef;
  /** Local date of the scheduled start: a set's day, whatever the clock did that night. */
  readonly night: string;
  readonly publishedAt: Instant;
  readonly complete: boolean;
}

/**
 * Which sets of one procedure may go. `last` keeps the newest complete sets; `daily`, `weekly` and `monthly` keep the
 * newest complete set of each of the last nights, ISO weeks or months that have one, so that nights without a backup
 * make nothing expire. A set that one rule keeps is kept. The newest complete set always stays; an incomplete one goes
 * once a newer complete set is there. Without a rule nothing goes.
 */
export function selectForRemoval<S extends RetainedSet>(
  sets: readonly S[],
  keep: Retention | null,
): readonly S[] {
  if (keep === null || Object.values(keep).every((count) => count === undefined)) return [];
  const newestFirst = [...sets].sort(byAge);
  const complete = newestFirst.filter((set) => set.complete);
  const [newest] = complete;
  if (newest === undefined) return [];
  const kept = new Set<S>([
    newest,
    ...complete.slice(0, keep.last ?? 0),
    ...newestOfEach(complete, (set) => set.night, keep.daily ?? 0),
    ...newestOfEach(complete, (set) => isoWeek(set.night), keep.weekly ?? 0),
    ...newestOfEach(complete, (set) => set.night.slice(0, 7), keep.monthly ?? 0),
  ]);
  return newestFirst.filter((set) => !kept.has(set) && (set.complete || byAge(newest, set) < 0));
}

/** `2026-W53`: weeks begin on Monday, and belong to the year that holds their Thursday (ISO 8601). */
export function isoWeek(date: string): string {
  const day = new Date(`${date}T00:00:00Z`);
  const weekday = (day.getUTCDay() + 6) % 7;
  day.setUTCDate(day.getUTCDate() - weekday + 3);
  const dayOfYear = Math.floor((day.getTime() - Date.UTC(day.getUTCFullYear(), 0, 1)) / 86_400_000);
  return `${day.getUTCFullYear()}-W${String(Math.floor(dayOfYear / 7) + 1).padStart(2, '0')}`;
}

function newestOfEach<S>(
  newestFirst: readonly S[],
  periodOf: (set: S) => string,
  periods: number,
): readonly S[] {
  const newest = new Map<string, S>();
  for (const set of newestFirst) {
    const period = periodOf(set);
    if (!newest.has(period) && newest.size < periods) newest.set(period, set);
  }
  return [...newest.values()];
}

/** Newest first: by night, then by when it was published, then by id. */
function byAge(one: RetainedSet, other: RetainedSet): number {
  return (
    compare(other.night, one.night) ||
    compare(other.publishedAt, one.publishedAt) ||
    compare(other.set.id, one.set.id)
  );
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
