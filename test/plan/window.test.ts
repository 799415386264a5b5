import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Procedure } from '../../model/site.ts';
import { resolveWindow, secondsBetween, WindowError } from '../../model/window.ts';
import type { WindowInput } from '../../model/window.ts';

const VITAM: WindowInput['procedure'] = {
  start: { days: ['mon', 'tue', 'wed', 'thu', 'fri'], at: '20:00', notAfter: '21:00' },
  restart: { kind: 'at', at: '08:00' },
  upBy: '08:30',
};

const EVERY_DAY = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;

function vitam(startedAt: string, upBy?: string) {
  return resolveWindow({
    timezone: 'Europe/Paris',
    procedure: VITAM,
    startedAt,
    ...(upBy === undefined ? {} : { upBy }),
  });
}

describe('the window of the Vitam night', () => {
  test('a scheduled start gives the night, and clock times after midnight are tomorrow', () => {
    const window = vitam('2026-11-23T19:00:00.000Z');
    expect(window).toMatchObject({
      night: '2026-11-23',
      windowStart: '2026-11-23T19:00:00.000Z',
      restartAt: '2026-11-24T07:00:00.000Z',
      upBy: '2026-11-24T07:30:00.000Z',
    });
    expect(window.at('20:00')).toBe('2026-11-23T19:00:00.000Z');
    expect(window.at('23:59')).toBe('2026-11-23T22:59:00.000Z');
    expect(window.at('00:00')).toBe('2026-11-23T23:00:00.000Z');
    expect(window.at('19:59')).toBe('2026-11-24T18:59:00.000Z');
  });

  test.each([
    ['a few minutes early', '2026-11-23T18:56:00.000Z'],
    ['late', '2026-11-23T19:40:00.000Z'],
    ['at the latest', '2026-11-23T20:00:00.000Z'],
  ])('a start %s belongs to the scheduled night', (_, startedAt) => {
    expect(vitam(startedAt)).toMatchObject({
      night: '2026-11-23',
      windowStart: '2026-11-23T19:00:00.000Z',
    });
  });

  test.each([
    ['too early', '2026-11-23T18:54:00.000Z'],
    ['too late', '2026-11-23T20:00:01.000Z'],
    ['in the morning', '2026-11-24T07:00:00.000Z'],
    ['on a day without a night', '2026-11-22T19:00:00.000Z'],
  ])('a start %s is refused, with the window and what to give', (_, startedAt) => {
    expect(() => vitam(startedAt)).toThrow(WindowError);
    expect(() => vitam(startedAt)).toThrow(
      /starts at 20:00 \(mon, tue, wed, thu, fri\), at the latest 21:00.*--up-by HH:MM/,
    );
  });

  test('without not-after a start is taken for one hour', () => {
    const start = { days: EVERY_DAY, at: '20:00' };
    const at = (startedAt: string) =>
      resolveWindow({ timezone: 'UTC', procedure: { ...VITAM, start }, startedAt });
    expect(at('2026-11-23T21:00:00.000Z').night).toBe('2026-11-23');
    expect(() => at('2026-11-23T21:01:00.000Z')).toThrow(/at the latest 1 hour later/);
  });

  test('a date of not-on has no window, and a run by hand is that of the night before it', () => {
    const start = { days: EVERY_DAY, at: '20:00', notOn: ['2026-12-24'] };
    const input = { timezone: 'UTC', procedure: { ...VITAM, start }, startedAt: '2026-12-24T20:00:00.000Z' };
    expect(() => resolveWindow(input)).toThrow(/, and not on 2026-12-24\./);
    expect(resolveWindow({ ...input, upBy: '23:00' }).night).toBe('2026-12-23');
  });

  test('a night has a latest start, and a run by hand has none', () => {
    expect(vitam('2026-11-23T19:00:00.000Z').latestStart).toBe('2026-11-23T20:00:00.000Z');
    expect(vitam('2026-11-23T19:00:00.000Z', '08:30').latestStart).toBeNull();
  });

  test('a start shortly after midnight belongs to the night before', () => {
    const start = { days: EVERY_DAY, at: '23:30', notAfter: '00:30' };
    const window = resolveWindow({
      timezone: 'UTC',
      procedure: { ...VITAM, start },
      startedAt: '2026-11-24T00:10:00.000Z',
    });
    expect(window.night).toBe('2026-11-23');
    expect(window.windowStart).toBe('2026-11-23T23:30:00.000Z');
  });

  test('a start shortly before midnight may belong to the night after', () => {
    const start = { days: ['tue'] as const, at: '00:00' };
    const window = resolveWindow({
      timezone: 'UTC',
      procedure: { ...VITAM, start },
      startedAt: '2026-11-23T23:58:00.000Z',
    });
    expect(window.night).toBe('2026-11-24');
  });
});

describe('a run by hand', () => {
  test('begins its window now, and belongs to the last scheduled night', () => {
    expect(vitam('2026-11-23T00:10:00.000Z', '08:30')).toMatchObject({
      night: '2026-11-20',
      windowStart: '2026-11-23T00:10:00.000Z',
      restartAt: '2026-11-23T07:00:00.000Z',
      upBy: '2026-11-23T07:30:00.000Z',
    });
  });

  test('takes an instant too', () => {
    expect(vitam('2026-11-23T09:00:00.000Z', '2026-11-23T11:00:00+01:00').restartAt).toBeNull();
    expect(vitam('2026-11-23T08:00:00.000Z', '2026-11-23T11:00:00+01:00').upBy).toBe(
      '2026-11-23T10:00:00.000Z',
    );
  });

  test('brings back when done where restart.at is too late for it', () => {
    const window = vitam('2026-11-23T09:00:00.000Z', '12:00');
    expect(window.restartAt).toBeNull();
    expect(window.deadline('02:00')).toBe(window.upBy);
  });

  test('takes a job that began in the last night, where the next is too late', () => {
    const window = vitam('2026-11-23T09:00:00.000Z', '12:00');
    expect(window.since('00:00', window.upBy)).toBe('2026-11-22T23:00:00.000Z');
    expect(window.since('10:30', window.upBy)).toBe('2026-11-23T09:30:00.000Z');
  });

  test.each(['2026-11-23T08:59:59Z', 'tomorrow', '8:30', '25:00'])('refuses --up-by %s', (upBy) => {
    expect(() => vitam('2026-11-23T09:00:00.000Z', upBy)).toThrow(WindowError);
  });

  test('without a schedule needs nothing: the window begins now', () => {
    const { restart, upBy } = VITAM;
    const window = resolveWindow({
      timezone: 'Europe/Paris',
      procedure: { restart, upBy },
      startedAt: '2026-11-22T23:10:00.000Z',
    });
    expect(window).toMatchObject({ night: '2026-11-23', windowStart: '2026-11-22T23:10:00.000Z' });
  });
});

describe('nights whose clocks change', () => {
  test('what does not happen is counted with the offset before the gap', () => {
    const window = vitam('2027-03-26T19:00:00.000Z', '2027-03-28T06:30:00Z');
    expect(window.night).toBe('2027-03-26');
    const spring = resolveWindow({
      timezone: 'Europe/Paris',
      procedure: { ...VITAM, start: { days: ['sat'], at: '20:00' } },
      startedAt: '2027-03-27T19:00:00.000Z',
    });
    expect(spring.at('02:30')).toBe('2027-03-28T01:30:00.000Z');
    expect(spring.at('03:30')).toBe('2027-03-28T01:30:00.000Z');
    expect(spring.upBy).toBe('2027-03-28T06:30:00.000Z');
  });

  test('what happens twice is meant the first time', () => {
    const autumn = resolveWindow({
      timezone: 'Europe/Paris',
      procedure: { ...VITAM, start: { days: ['sat'], at: '20:00' } },
      startedAt: '2027-10-30T18:00:00.000Z',
    });
    expect(autumn.at('02:30')).toBe('2027-10-31T00:30:00.000Z');
    expect(autumn.at('03:00')).toBe('2027-10-31T02:00:00.000Z');
    expect(autumn.upBy).toBe('2027-10-31T07:30:00.000Z');
  });

  test('the second firing of a schedule in the doubled hour belongs to the same night', () => {
    const procedure = { ...VITAM, start: { days: EVERY_DAY, at: '02:30' } };
    const nights = ['2027-10-31T00:30:00.000Z', '2027-10-31T01:30:00.000Z'].map(
      (startedAt) => resolveWindow({ timezone: 'Europe/Paris', procedure, startedAt }).windowStart,
    );
    expect(nights).toEqual(['2027-10-31T00:30:00.000Z', '2027-10-31T00:30:00.000Z']);
  });

  test('a window that begins in the second of two equal hours counts on in it', () => {
    const window = resolveWindow({
      timezone: 'Europe/Paris',
      procedure: { restart: { kind: 'when-done' }, upBy: '02:50' },
      startedAt: '2027-10-31T01:45:00.000Z',
    });
    expect(window.upBy).toBe('2027-10-31T01:50:00.000Z');
  });
});

const ZONES = [
  'Europe/Paris',
  'America/New_York',
  'America/Santiago',
  'Australia/Lord_Howe',
  'Africa/Casablanca',
  'Asia/Kathmandu',
  'Pacific/Chatham',
  'UTC',
];

const minute = fc.integer({ min: 0, max: 1439 });
const zone = fc.constantFrom(...ZONES);
/** Both nights of 2027 in which Europe's clocks change, minute by minute, and any other moment of the year. */
const moment = fc.oneof(
  minutesFrom('2027-03-27T12:00:00Z', 48 * 60),
  minutesFrom('2027-10-30T12:00:00Z', 48 * 60),
  minutesFrom('2027-01-01T00:00:00Z', 365 * 24 * 60),
);

function minutesFrom(start: string, length: number): fc.Arbitrary<string> {
  return fc
    .integer({ min: 0, max: length })
    .map((minutes) => new Date(Date.parse(start) + minutes * 60_000).toISOString());
}

function clock(minutes: number): string {
  const rest = ((minutes % 1440) + 1440) % 1440;
  return `${String(Math.floor(rest / 60)).padStart(2, '0')}:${String(rest % 60).padStart(2, '0')}`;
}

/** A night as the file may have it: until ≤ restart < up-by by the clock, counted from the start. */
const night = fc
  .tuple(minute, fc.array(fc.integer({ min: 1, max: 1439 }), { minLength: 3, maxLength: 3 }))
  .map(([at, offsets]) => ({ at, offsets: [...offsets].sort((a, b) => a - b) as [number, number, number] }))
  .filter(({ offsets: [, restart, upBy] }) => restart < upBy)
  .map(({ at, offsets: [until, restart, upBy] }) => ({
    start: clock(at),
    until: clock(at + until),
    restart: clock(at + restart),
    upBy: clock(at + upBy),
  }));

const HOUR_MS = 3_600_000;

function procedureOf(times: {
  start: string;
  restart: string;
  upBy: string;
}): Pick<Procedure, 'start' | 'restart' | 'upBy'> {
  return {
    start: { days: EVERY_DAY, at: times.start },
    restart: { kind: 'at', at: times.restart },
    upBy: times.upBy,
  };
}

describe('in every zone and every night', () => {
  test('the instants of a scheduled run are in the order of the procedure', () => {
    fc.assert(
      fc.property(zone, night, moment, (timezone, times, around) => {
        const procedure = procedureOf(times);
        const scheduled = startNear(timezone, procedure, around);
        const window = resolveWindow({ timezone, procedure, startedAt: scheduled });
        const until = window.deadline(times.until);
        const order = [window.windowStart, until, window.restartAt ?? '', window.upBy].map(Date.parse);
        expect(order).toEqual([...order].sort((a, b) => a - b));
        expect(Date.parse(window.restartAt ?? '')).toBeLessThan(Date.parse(window.upBy));
        expect(Date.parse(window.upBy) - Date.parse(window.windowStart)).toBeLessThanOrEqual(25 * HOUR_MS);
      }),
      { numRuns: 300 },
    );
  });

  test('a run by hand has its instants in order, and none in the past of its start', () => {
    fc.assert(
      fc.property(zone, night, moment, minute, (timezone, times, startedAt, by) => {
        const window = resolveWindow({ timezone, procedure: procedureOf(times), startedAt, upBy: clock(by) });
        const start = Date.parse(window.windowStart);
        expect(window.windowStart).toBe(startedAt);
        expect(start).toBeLessThan(Date.parse(window.upBy));
        expect(Date.parse(window.upBy) - start).toBeLessThanOrEqual(25 * HOUR_MS);
        const end = Date.parse(window.restartAt ?? window.upBy);
        const until = Date.parse(window.deadline(times.until));
        expect(start).toBeLessThanOrEqual(until);
        expect(until).toBeLessThanOrEqual(end);
        expect(end).toBeLessThanOrEqual(Date.parse(window.upBy));
      }),
      { numRuns: 300 },
    );
  });

  test('a clock time is the first such instant: shown on the wall, or in the gap', () => {
    fc.assert(
      fc.property(zone, moment, minute, (timezone, startedAt, wanted) => {
        const procedure = { restart: { kind: 'when-done' } as const, upBy: '12:00' };
        const window = resolveWindow({ timezone, procedure, startedAt });
        const found = Date.parse(window.at(clock(wanted)));
        expect(found).toBeGreaterThanOrEqual(Date.parse(startedAt));
        expect(found - Date.parse(startedAt)).toBeLessThanOrEqual(25 * HOUR_MS);
        const shown = wallClock(timezone, found);
        const late = secondsBetween(clock(wanted), shown);
        expect(late === 0 || (late <= 3600 && !isEverShown(timezone, found, clock(wanted)))).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});

/** The scheduled start at or before a moment. */
function startNear(
  timezone: string,
  procedure: Pick<Procedure, 'start' | 'restart' | 'upBy'>,
  around: string,
): string {
  const { start } = procedure;
  const upBy = start?.at ?? '00:00';
  const byHand = resolveWindow({
    timezone,
    procedure: { restart: { kind: 'when-done' }, upBy },
    startedAt: around,
  });
  return byHand.at(upBy);
}

function wallClock(timezone: string, at: number): string {
  return new Intl.DateTimeFormat('en-GB', {
    timeZone: timezone,
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  }).format(at);
}

/** Whether a wall shows this time within the three hours around an instant. */
function isEverShown(timezone: string, at: number, wanted: string): boolean {
  return Array.from({ length: 180 }, (_, index) => at - (90 - index) * 60_000).some(
    (moment) => wallClock(timezone, moment) === wanted,
  );
}

describe('a window that is only looked at', () => {
  const procedure = {
    start: { days: ['mon', 'tue', 'wed', 'thu', 'fri'], at: '20:00', notAfter: '21:00' },
    restart: { kind: 'at', at: '08:00' },
    upBy: '08:30',
  } as const;
  const saturdayNoon = { timezone: 'Europe/Paris', procedure, startedAt: '2026-11-21T11:00:00.000Z' };

  test('is that of the next night when there is none now', () => {
    expect(resolveWindow({ ...saturdayNoon, preview: true })).toMatchObject({ night: '2026-11-23' });
    expect(() => resolveWindow(saturdayNoon)).toThrow(/--up-by/);
  });
});
