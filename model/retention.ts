import type { SetRef, SetUse } from './manifest.ts';
import type { Instant } from './plan.ts';
import type { Retention } from './site.ts';

/** What retention looks at of a published set. */
export interface RetainedSet {
  readonly set: SetRef;
  /** Local date of the scheduled start: a set's day, whatever the clock did that night. */
  readonly night: string;
  readonly publishedAt: Instant;
  readonly complete: boolean;
  /** Why somebody pinned it; absent: nobody did. */
  readonly pinned?: string;
  /** Who reads it. */
  readonly uses?: readonly Pick<SetUse, 'what' | 'until'>[];
  /** What of it cannot be read. */
  readonly doubt?: string;
  /** Its newest drill. */
  readonly proof?: { readonly passed: boolean };
  /** When it was read again last. */
  readonly verified?: { readonly passed: boolean };
}

/** What becomes of a set, and why: every rule that keeps it, or that none does. */
export interface Verdict<S extends RetainedSet> {
  readonly set: S;
  readonly stays: boolean;
  readonly because: readonly string[];
}

/**
 * What becomes of the sets of one procedure, the newest first. `last` keeps the newest complete sets; `hourly`, `daily`,
 * `weekly`, `monthly` and `yearly` keep the newest complete set of each of the last hours, nights, ISO weeks, months or
 * years that have one, so that nights without a backup make nothing expire; `within` keeps all that is younger than so
 * many days. A set that one rule keeps is kept. The newest complete set, the newest proven one, pinned ones and those in
 * use always stay. One that was read again and is damaged counts for no rule, and stays until it is read well again: what can be
 * saved of it is for somebody to decide. So does one of which something cannot be read. One whose newest
 * drill failed counts for no rule either: no other goes for it, and it stays as long as it would if it counted. An incomplete one goes once a newer complete set is there. Without a rule nothing goes.
 */
export function explainRetention<S extends RetainedSet>(
  sets: readonly S[],
  keep: Retention | null,
  now: Instant,
): readonly Verdict<S>[] {
  const newestFirst = [...sets].sort(byAge);
  const complete = thatCount(newestFirst);
  const sound = complete.filter((set) => !hasFailed(set));
  const holds = holdsIn(sets, now);
  const kept = new Map<S, string[]>();
  const stay = (some: readonly S[], why: (set: S) => string): void => {
    for (const set of some) kept.set(set, [...(kept.get(set) ?? []), why(set)]);
  };
  const [newest] = sound;

  if (!hasRule(keep)) stay(newestFirst, () => 'no rule of retention');
  for (const set of newestFirst) for (const { why } of holds(set)) stay([set], () => why);
  stay(newestFirst.filter(isDamaged), () => 'damaged');
  for (const [set, why] of keptByRules(sound, keep, now)) stay([set], () => why);
  const ifItCounted = [...complete.slice(0, 1), ...keptByRules(complete, keep, now).map(([set]) => set)];
  stay([...new Set(ifItCounted)].filter(hasFailed), () => 'its drill failed: no other goes for it');
  stay(
    newestFirst.filter((set) => !set.complete && (newest === undefined || byAge(set, newest) < 0)),
    () => 'incomplete, and no complete set is newer',
  );
  return newestFirst.map((set) => {
    const because = kept.get(set);
    if (because !== undefined) return { set, stays: true, because };
    return { set, stays: false, because: [set.complete ? 'no rule keeps it' : 'incomplete'] };
  });
}

/** The rules of one store; null: nothing goes there. */
export function keepFor(
  {
    keep,
    keepIn = {},
  }: { readonly keep?: Retention | null; readonly keepIn?: Readonly<Record<string, Retention>> },
  store: string,
): Retention | null {
  return (Object.hasOwn(keepIn, store) ? keepIn[store] : keep) ?? null;
}

/** Which sets of one procedure may go. */
export function selectForRemoval<S extends RetainedSet>(
  sets: readonly S[],
  keep: Retention | null,
  now: Instant,
): readonly S[] {
  return explainRetention(sets, keep, now)
    .filter(({ stays }) => !stays)
    .map(({ set }) => set);
}

/** What keeps a set from being removed, by the rules as well as by hand. */
export interface Hold {
  readonly kind: 'newest' | 'proven' | 'pinned' | 'in-use' | 'in-doubt';
  readonly why: string;
}

/** Of each of the sets of one procedure. */
export function holdsIn<S extends RetainedSet>(
  sets: readonly S[],
  now: Instant,
): (set: S) => readonly Hold[] {
  const sound = thatCount([...sets].sort(byAge)).filter((set) => !hasFailed(set));
  const [newest] = sound;
  const proven = sound.find(({ proof }) => proof?.passed === true);
  return (set) => [
    ...(set === newest ? [{ kind: 'newest', why: 'the newest complete set' } as const] : []),
    ...(set === proven ? [{ kind: 'proven', why: 'the newest proven set' } as const] : []),
    ...holdsOn(set, now),
  ];
}

/** Whether somebody has a hold on it, whatever the rules say; what cannot be read is one. */
export function isHeld(set: Pick<RetainedSet, 'pinned' | 'uses' | 'doubt'>, now: Instant): boolean {
  return holdsOn(set, now).length > 0;
}

function holdsOn(
  { pinned, uses = [], doubt }: Pick<RetainedSet, 'pinned' | 'uses' | 'doubt'>,
  now: Instant,
): readonly Hold[] {
  return [
    ...(pinned === undefined ? [] : [{ kind: 'pinned', why: `pinned: ${pinned}` } as const]),
    ...uses
      .filter(({ until }) => until > now)
      .map(
        ({ what, until }) => ({ kind: 'in-use', why: `in use: ${what}, at most until ${until}` }) as const,
      ),
    ...(doubt === undefined ? [] : [{ kind: 'in-doubt', why: `in doubt: ${doubt}` } as const]),
  ];
}

/** Complete, and as far as it is known whole. */
function thatCount<S extends RetainedSet>(sets: readonly S[]): readonly S[] {
  return sets.filter((set) => set.complete && !isDamaged(set) && set.doubt === undefined);
}

function isDamaged({ verified }: RetainedSet): boolean {
  return verified?.passed === false;
}

function hasFailed({ proof }: RetainedSet): boolean {
  return proof?.passed === false;
}

/** Of complete sets, the newest first: each that a rule keeps, with the rule. */
function keptByRules<S extends RetainedSet>(
  complete: readonly S[],
  keep: Retention | null,
  now: Instant,
): readonly (readonly [S, string])[] {
  const { last = 0, withinDays = 0 } = keep ?? {};
  const since = new Date(Date.parse(now) - withinDays * dayMs).toISOString();
  const withWhy = (some: readonly S[], why: (set: S) => string) =>
    some.map((set) => [set, why(set)] as const);
  return [
    ...withWhy(complete.slice(0, last), () => `last ${last}`),
    ...(Object.entries(periods) as [keyof typeof periods, (set: S) => string][]).flatMap(([rule, periodOf]) =>
      withWhy(newestOfEach(complete, periodOf, keep?.[rule] ?? 0), (set) => `${rule} ${periodOf(set)}`),
    ),
    ...withWhy(
      complete.filter(({ publishedAt }) => withinDays > 0 && publishedAt >= since),
      () => `within ${withinDays}d`,
    ),
  ];
}

const dayMs = 86_400_000;

const periods = {
  hourly: ({ publishedAt }: RetainedSet) => publishedAt.slice(0, 13),
  daily: ({ night }: RetainedSet) => night,
  weekly: ({ night }: RetainedSet) => isoWeek(night),
  monthly: ({ night }: RetainedSet) => night.slice(0, 7),
  yearly: ({ night }: RetainedSet) => night.slice(0, 4),
};

function hasRule(keep: Retention | null): boolean {
  return keep !== null && Object.values(keep).some((count) => count !== undefined);
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
