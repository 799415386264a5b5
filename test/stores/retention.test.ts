import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { explainRetention, isoWeek, selectForRemoval } from '../../model/retention.ts';
import type { RetainedSet } from '../../model/retention.ts';
import type { Retention } from '../../model/site.ts';

const dayMs = 86_400_000;
/** The day after the last set of any history. */
const now = new Date(Date.UTC(2026, 0, 1 + 402)).toISOString();

const proved = (passed: boolean): Partial<RetainedSet> => ({ proof: { passed } });
const damaged = { verified: { passed: false } };
const doubtful = { doubt: 'proofs.json cannot be read' };

const anySets = fc
  .uniqueArray(fc.record({ day: fc.integer({ min: 0, max: 400 }), hour: fc.integer({ min: 0, max: 23 }) }), {
    selector: ({ day, hour }) => `${day} ${hour}`,
    maxLength: 60,
  })
  .chain((times) =>
    fc
      .array(fc.boolean(), { minLength: times.length, maxLength: times.length })
      .map((complete) => times.map((time, i) => setAt(time.day, time.hour, complete[i] ?? true))),
  );
/** Some damaged, some in doubt, some proven, some with a drill that failed. */
const anyMarked = anySets.chain((sets) =>
  fc
    .array(fc.constantFrom<Partial<RetainedSet>>({}, {}, proved(true), proved(false), damaged, doubtful), {
      minLength: sets.length,
      maxLength: sets.length,
    })
    .map((marks) => sets.map((set, i): RetainedSet => ({ ...set, ...marks[i] }))),
);
const count = fc.integer({ min: 0, max: 20 });
const anyKeep: fc.Arbitrary<Retention> = fc.record(
  {
    ...{ last: count, hourly: count, daily: count, weekly: count, monthly: count, yearly: count },
    withinDays: fc.integer({ min: 1, max: 400 }),
  },
  { requiredKeys: [] },
);

describe('retention', () => {
  test('never removes the newest complete set, nor anything newer', () => {
    holds((sets, _, removed) => {
      const newest = sorted(sets.filter((set) => set.complete)).at(-1);
      if (newest === undefined) expect(removed).toEqual([]);
      for (const set of removed) expect(keyOf(set) < keyOf(newest ?? set)).toBe(true);
    });
  });

  test('never removes the newest set that a drill has proven, however old it is', () => {
    const [old, older, ...newer] = [1, 0, 10, 20, 30].map((day) => setAt(day, 2, true));
    const proven = { proof: { passed: true } };
    const sets = [{ ...old, ...proven }, { ...older, ...proven }, ...newer] as RetainedSet[];
    const kept = (some: readonly RetainedSet[]) =>
      some.filter((set) => !selectForRemoval(some, { last: 1 }, now).includes(set));
    expect(kept(sets)).toEqual([sets[0], newer.at(-1)]);
    const failed = sets.map((set, index) => (index === 0 ? { ...set, proof: { passed: false } } : set));
    expect(kept(failed)).toEqual([failed[1], newer.at(-1)]);
  });

  test('keeps a set that was read again and is damaged, and counts it for no rule', () => {
    const [old, newer, newest] = [1, 10, 20].map((day) => setAt(day, 2, true));
    const sets = [old, newer, { ...newest, verified: { passed: false } }] as RetainedSet[];
    const removed = selectForRemoval(sets, { last: 1 }, now);
    expect(removed).toEqual([old]);
  });

  test('lets no good set go in favour of one that is damaged, in doubt, or whose drill failed', () => {
    const isLost = (set: RetainedSet) => set.verified !== undefined || set.doubt !== undefined;
    const isBad = (set: RetainedSet) => isLost(set) || set.proof?.passed === false;
    fc.assert(
      fc.property(anyMarked, anyKeep, (sets, keep) => {
        const removed = selectForRemoval(sets, keep, now);
        const good = sets.filter((set) => !isBad(set));
        expect(removed.filter((set) => !isBad(set))).toEqual(selectForRemoval(good, keep, now));
        expect(removed.filter(isLost)).toEqual([]);
        const newest = sorted(good.filter((set) => set.complete)).at(-1);
        expect(removed).not.toContain(newest);
        expect(
          selectForRemoval(
            sets.filter((set) => !removed.includes(set)),
            keep,
            now,
          ),
        ).toEqual([]);
      }),
    );
  });

  test('one whose drill failed stays as long as it would if it counted, and no longer', () => {
    fc.assert(
      fc.property(anyMarked, anyKeep, (marked, keep) => {
        const sets = marked.filter((set) => set.verified === undefined && set.doubt === undefined);
        const ids = (some: readonly RetainedSet[]) => some.map(keyOf);
        const failed = ids(sets.filter((set) => set.complete && set.proof?.passed === false));
        const counted = sets.map((set) => (failed.includes(keyOf(set)) ? { ...set, proof: null } : set));
        const gone = ids(selectForRemoval(counted as RetainedSet[], keep, now));
        expect(ids(selectForRemoval(sets, keep, now)).filter((id) => failed.includes(id))).toEqual(
          gone.filter((id) => failed.includes(id)),
        );
      }),
    );
    const [older, newer] = [setAt(1, 20, true), { ...setAt(2, 20, true), ...proved(false) }] as const;
    expect(explainRetention([older, newer], { last: 1 }, now)).toEqual([
      { set: newer, stays: true, because: ['its drill failed: no other goes for it'] },
      { set: older, stays: true, because: ['the newest complete set', 'last 1'] },
    ]);
  });

  test('keeps the newest sets of `last`, and the newest of each of the last days, weeks and months', () => {
    holds((sets, keep, removed) => {
      const complete = sorted(sets.filter((set) => set.complete)).reverse();
      const kept = complete.filter((set) => !removed.includes(set));
      const rules: [number | undefined, (set: RetainedSet) => string][] = [
        [keep.last, keyOf],
        [keep.hourly, (set) => set.publishedAt.slice(0, 13)],
        [keep.daily, (set) => set.night],
        [keep.weekly, (set) => isoWeek(set.night)],
        [keep.monthly, (set) => set.night.slice(0, 7)],
        [keep.yearly, (set) => set.night.slice(0, 4)],
      ];
      const expected = new Set(Object.keys(keep).length === 0 ? complete : complete.slice(0, 1));
      for (const [periods = 0, periodOf] of rules) {
        for (const period of [...new Set(complete.map(periodOf))].slice(0, periods)) {
          const newest = complete.find((set) => periodOf(set) === period);
          if (newest !== undefined) expected.add(newest);
        }
      }
      for (const set of complete)
        if (Date.parse(now) - Date.parse(set.publishedAt) <= (keep.withinDays ?? 0) * dayMs)
          expected.add(set);
      expect(new Set(kept)).toEqual(expected);
    });
  });

  test('has nothing more to remove the second time', () => {
    holds((sets, keep, removed) => {
      const kept = sets.filter((set) => !removed.includes(set));
      expect(selectForRemoval(kept, keep, now)).toEqual([]);
    });
  });

  test('does not depend on the order of the sets', () => {
    holds((sets, keep, removed) => expect(selectForRemoval([...sets].reverse(), keep, now)).toEqual(removed));
  });

  test('removes nothing without a rule', () => {
    fc.assert(fc.property(anySets, (sets) => expect(selectForRemoval(sets, null, now)).toEqual([])));
    fc.assert(fc.property(anySets, (sets) => expect(selectForRemoval(sets, {}, now)).toEqual([])));
  });

  test('never removes what is pinned, nor the newest that a drill proved', () => {
    holds((sets, keep) => {
      const marked = sets.map((set, index) => ({
        ...set,
        ...(index % 5 === 0 && { pinned: 'the migration (ana)' }),
        ...(index % 3 === 0 && { proof: { passed: true } }),
      }));
      const removed = selectForRemoval(marked, keep, now);
      expect(removed.filter(({ pinned }) => pinned !== undefined)).toEqual([]);
      const proven = sorted(marked.filter((set) => set.complete && set.proof?.passed === true)).at(-1);
      expect(removed).not.toContain(proven);
    });
  });

  test('never removes one that is in use, until the last instant of it has passed', () => {
    const use = (what: string, until: number) => ({ what, until: new Date(until).toISOString() });
    const nowMs = Date.parse(now);
    holds((sets, keep) => {
      const marked = sets.map((set, index) => ({
        ...set,
        ...(index % 3 === 0 && { uses: [use('drill', nowMs - 1), use('restore', nowMs + 1)] }),
        ...(index % 3 === 1 && { uses: [use('drill', nowMs - 1)] }),
      }));
      const at = (ms: number) => selectForRemoval(marked, keep, new Date(ms).toISOString());
      expect(at(nowMs).filter(({ uses }) => uses?.length === 2)).toEqual([]);
      const ids = (some: readonly RetainedSet[]) => some.map(keyOf);
      expect(ids(at(nowMs + 1))).toEqual(
        ids(selectForRemoval(sets, keep, new Date(nowMs + 1).toISOString())),
      );
    });
    const [older, newer] = [setAt(1, 20, true), setAt(2, 20, true)] as const;
    const used = { ...older, uses: [use('drill', nowMs - 1), use('restore', nowMs + 1)] };
    expect(explainRetention([used, newer], { last: 1 }, now).at(-1)).toEqual({
      ...{ set: used, stays: true },
      because: [`in use: restore, at most until ${new Date(nowMs + 1).toISOString()}`],
    });
  });

  test('says of each set every rule that keeps it, or that none does', () => {
    const sets = [setAt(0, 20, true), setAt(1, 20, true), { ...setAt(2, 20, true), pinned: 'audit (bo)' }];
    const [oldest, older, newest] = sets;
    expect(explainRetention(sets, { last: 1, daily: 2, yearly: 1 }, now)).toEqual([
      {
        set: newest,
        stays: true,
        because: [
          ...['the newest complete set', 'pinned: audit (bo)', 'last 1'],
          ...['daily 2026-01-03', 'yearly 2026'],
        ],
      },
      { set: older, stays: true, because: ['daily 2026-01-02'] },
      { set: oldest, stays: false, because: ['no rule keeps it'] },
    ]);
  });

  test('an incomplete set stays until a newer complete one is there', () => {
    const older = setAt(1, 20, true);
    const incomplete = setAt(2, 20, false);
    expect(selectForRemoval([older, incomplete], { last: 1 }, now)).toEqual([]);
    expect(selectForRemoval([older, incomplete, setAt(3, 20, true)], { last: 5 }, now)).toEqual([incomplete]);
  });

  test('nights without a backup make nothing expire', () => {
    const sets = [setAt(0, 20, true), setAt(100, 20, true), setAt(399, 20, true)];
    expect(selectForRemoval(sets, { daily: 3 }, now)).toEqual([]);
  });
});

test.each([
  ['2026-01-01', '2026-W01'],
  ['2027-01-03', '2026-W53'],
  ['2027-01-04', '2027-W01'],
  ['2024-12-30', '2025-W01'],
  ['2026-11-22', '2026-W47'],
  ['2026-11-23', '2026-W48'],
])('%s is in ISO week %s', (date, week) => expect(isoWeek(date)).toBe(week));

function holds(
  check: (sets: readonly RetainedSet[], keep: Retention, removed: readonly RetainedSet[]) => void,
): void {
  fc.assert(
    fc.property(anySets, anyKeep, (sets, keep) => check(sets, keep, selectForRemoval(sets, keep, now))),
  );
}

function setAt(day: number, hour: number, complete: boolean): RetainedSet {
  const at = new Date(Date.UTC(2026, 0, 1 + day) + (hour / 24) * dayMs).toISOString();
  const night = at.slice(0, 10);
  const id = `${night}T${at.slice(11, 19).replaceAll(':', '')}Z-0a1b2c3d`;
  return { set: { site: 'vitam', procedure: 'nightly', id }, night, publishedAt: at, complete };
}

function sorted(sets: readonly RetainedSet[]): RetainedSet[] {
  return [...sets].sort((one, other) => (keyOf(one) < keyOf(other) ? -1 : 1));
}

function keyOf(set: RetainedSet): string {
  return set.set.id;
}
