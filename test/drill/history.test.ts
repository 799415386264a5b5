import { describe, expect, test } from '@jest/globals';
import { drillsScreen } from '../../cli/screens/drill.ts';
import { leastDrilled } from '../../model/drill.ts';
import type { Proof, SetSummary } from '../../model/manifest.ts';
import type { Drill } from '../../model/drill.ts';

describe('which store a drill without a name takes', () => {
  const listed = (
    store: string,
    drilledAt: string | null,
    changes: Partial<SetSummary> = {},
  ): SetSummary => ({
    ...{ set: setOf('20'), store, format: 1, night: '2026-11-20', publishedAt: 'x', complete: true },
    ...{ sizeBytes: 1, artifacts: 1 },
    ...(drilledAt !== null && { proof: { at: drilledAt, passed: true } }),
    ...changes,
  });

  test('is the one that was drilled least recently, whichever of its sets, and never one first', () => {
    const vault = [listed('vault', null), listed('vault', '2026-11-15')];
    expect(leastDrilled([...vault, listed('offsite', '2026-11-08'), listed('offsite', null)])).toBe(
      'offsite',
    );
    expect(leastDrilled([...vault, listed('offsite', '2026-11-22')])).toBe('vault');
    expect(leastDrilled([...vault, listed('offsite', '2026-11-22'), listed('new', null)])).toBe('new');
  });

  test('is none that holds no complete set; a drill that failed was a turn too', () => {
    const failed = listed('vault', null, { proof: { at: '2026-11-22', passed: false } });
    expect(leastDrilled([failed, listed('offsite', '2026-11-08')])).toBe('offsite');
    expect(leastDrilled([failed, listed('offsite', null, { complete: false })])).toBe('vault');
    expect(leastDrilled([])).toBeUndefined();
  });
});

test('the history of drills holds each against the median of those before it, of its procedure and store', () => {
  const drill = (day: string, store: string, unpack: number, passed = true): Drill => ({
    ...{ set: setOf(day), store },
    proof: {
      ...{ at: `2026-11-${day}T10:00:00.000Z`, passed },
      artifacts: [{ contentBytes: 1e9, tookMs: { unpack, open: 2_000, compare: 9_000 } }],
    } as unknown as Proof,
  });
  const drills = [
    ...[drill('29', 'vault', 13_000), drill('28', 'vault', 1_000, false), drill('22', 'offsite', 70_000)],
    ...[drill('15', 'vault', 10_000), drill('08', 'vault', 6_000)],
  ];
  const row = (day: string, store: string, ...rest: string[]) => [
    ...[`2026-11-${day}T10:00Z`, 'nightly', setOf(day).id, store],
    ...rest,
  ];
  expect(drillsScreen(drills).replaceAll(/ {3,}/g, '|').split('\n').slice(1)).toEqual(
    [
      row('29', 'vault', 'proven', '1 GB', '13 s', '2.0 s', '15 s', '+50 % (median of 2 before: 10 s)'),
      row('28', 'vault', 'FAILED', '1 GB', '1.0 s', '2.0 s', '3.0 s'),
      row('22', 'offsite', 'proven', '1 GB', '1 min 10 s', '2.0 s', '1 min 12 s'),
      row('15', 'vault', 'proven', '1 GB', '10 s', '2.0 s', '12 s', '+50 % (median of 1 before: 8.0 s)'),
      row('08', 'vault', 'proven', '1 GB', '6.0 s', '2.0 s', '8.0 s'),
    ].map((cells) => cells.join('|')),
  );
  expect(drillsScreen([])).toBe('no drills of the sets that are there');
});

function setOf(day: string) {
  return { site: 'vitam', procedure: 'nightly', id: `2026-11-${day}T190004Z-1a2b3c4d` };
}
