import { describe, expect, test } from '@jest/globals';
import { defaultPatience, verdict, type Described, type Held } from '../../model/watchdog.ts';

const upBy = '2026-11-22T07:30:00.000Z';
const held: Held = {
  ...{ journal: 'j', epoch: 3, procedure: 'nightly', workflowId: 'coldbackup/vitam/nightly' },
  ...{ night: '2026-11-21', upBy, entries: [] },
};
/** Milliseconds after up-by. */
const after = (ms: number) => new Date(Date.parse(upBy) + ms).toISOString();
const minute = 60_000;
const judge = (described: Described, now: string) => verdict(held, described, now, defaultPatience).kind;
const open: Described = { kind: 'open', failing: null };
const closed = (how: string): Described => ({ kind: 'closed', how, at: after(-60 * minute) });
const failing = (attempts: number, sinceMs: number): Described => ({
  kind: 'open',
  failing: { attempts, since: after(sinceMs) },
});

describe('what a host that is held means', () => {
  test('without its workflow it is an orphan, at any time', () => {
    expect(judge({ kind: 'none' }, after(-600 * minute))).toBe('orphan');
    expect(judge({ kind: 'none' }, after(600 * minute))).toBe('orphan');
  });

  test.each(['completed', 'failed', 'cancelled', 'terminated', 'timed out'])(
    'of a run that was %s it is an orphan, after 30 s',
    (how) => {
      const ended = -60 * minute;
      expect(judge(closed(how), after(ended))).toBe('leave');
      expect(judge(closed(how), after(ended + 29_999))).toBe('leave');
      expect(judge(closed(how), after(ended + 30_000))).toBe('orphan');
    },
  );

  test('of a run that ended in the future, by a clock that is off, it is left for now', () => {
    expect(judge(closed('failed'), after(-61 * minute))).toBe('leave');
  });

  test('of an open run it is left until up-by and grace have passed, to the millisecond', () => {
    expect(judge(open, after(-600 * minute))).toBe('leave');
    expect(judge(open, after(0))).toBe('leave');
    expect(judge(open, after(10 * minute))).toBe('leave');
    expect(judge(open, after(10 * minute + 1))).toBe('stuck');
  });

  test('the grace is that of the site', () => {
    const patience = { ...defaultPatience, graceMs: 2 * minute };
    expect(verdict(held, open, after(2 * minute), patience).kind).toBe('leave');
    expect(verdict(held, open, after(2 * minute + 1), patience).kind).toBe('stuck');
  });

  test('of a run whose workflow task fails it is stuck after 5 attempts and 5 minutes, not before both', () => {
    const since = -300 * minute;
    const later = (ms: number) => after(since + ms);
    expect(judge(failing(5, since), later(5 * minute))).toBe('leave');
    expect(judge(failing(5, since), later(5 * minute + 1))).toBe('stuck');
    expect(judge(failing(4, since), later(60 * minute))).toBe('leave');
    expect(judge(failing(100, since), later(minute))).toBe('leave');
  });

  test('a failing task is no excuse: past up-by and grace it is stuck at once', () => {
    expect(judge(failing(2, 10 * minute), after(10 * minute + 1))).toBe('stuck');
  });

  test('every verdict says why', () => {
    expect(verdict(held, closed('terminated'), after(0), defaultPatience)).toEqual({
      kind: 'orphan',
      why: `the run was terminated at ${after(-60 * minute)}`,
    });
    expect(verdict(held, failing(7, -20 * minute), after(0), defaultPatience).why).toBe(
      `the run's workflow task fails since ${after(-20 * minute)} (attempt 7)`,
    );
    expect(verdict(held, open, after(11 * minute), defaultPatience).why).toContain(`past its up-by ${upBy}`);
  });
});
