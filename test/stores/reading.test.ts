import { describe, expect, test } from '@jest/globals';
import { toReadAgain } from '../../model/reading.ts';
import type { SetSummary } from '../../model/manifest.ts';

type Read = Pick<SetSummary, 'publishedAt' | 'sizeBytes' | 'verified'> & { readonly name: number };

const dayMs = 86_400_000;
const startMs = Date.UTC(2026, 10, 1, 9);
const at = (day: number): string => new Date(startMs + day * dayMs).toISOString();
const neverRead = (count: number): Read[] =>
  Array.from({ length: count }, (_, name) => ({
    name,
    publishedAt: at(name - 1_000),
    sizeBytes: 1_000 + 7 * name,
  }));

/** What a run of that day reads. */
function run(sets: Read[], everyDays: number, day: number): readonly Read[] {
  const { due, shareBytes } = toReadAgain(sets, everyDays, startMs + day * dayMs);
  const read: Read[] = [];
  for (const set of due) {
    if (read.length > 0 && total(read) >= shareBytes) break;
    read.push(set);
    sets[set.name] = { ...set, verified: { at: at(day), passed: true, mended: false } };
  }
  return read;
}

function total(sets: readonly Read[]): number {
  return sets.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

describe('what a run reads again', () => {
  test('is a part of what is due at once, the longest unread first, and all within the period', () => {
    const sets = neverRead(300);
    const days = Array.from({ length: 60 }, (_, day) => run(sets, 30, day));
    const most = total(sets) / 30 + Math.max(...sets.map(({ sizeBytes }) => sizeBytes));
    for (const read of days) expect(total(read)).toBeLessThanOrEqual(most);
    expect(days.slice(0, 30).flatMap((read) => read.map(({ name }) => name))).toEqual(
      sets.map(({ name }) => name),
    );
    expect(new Set(days.slice(30).flatMap((read) => read.map(({ name }) => name))).size).toBe(300);
  });

  test('is as much more as days have passed since the last one', () => {
    const sets = neverRead(300);
    run(sets, 30, 0);
    expect(total(run(sets, 30, 5)) / (total(sets) / 30)).toBeCloseTo(5, 0);
  });

  test('is one set at least, nothing that is not due, and all of it where each run reads all', () => {
    const sets = neverRead(3);
    expect(run(sets, 365, 0)).toHaveLength(1);
    expect(run(sets, 0, 1)).toHaveLength(3);
    expect(run(sets, 30, 2)).toEqual([]);
    expect(run([], 0, 2)).toEqual([]);
  });
});
