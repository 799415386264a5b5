import { Temporal } from 'temporal-polyfill';
import type { ClockTime, Weekday } from '../model/site.ts';

/** The clock times of a night that begins now, as the site's wall clock shows them. */
export interface NightClock {
  readonly day: Weekday;
  readonly start: ClockTime;
  readonly notAfter: ClockTime;
  /** From when on a run of the logbook job counts. */
  readonly jobFrom: ClockTime;
  readonly jobFromMs: number;
  readonly restart: ClockTime;
  readonly restartMs: number;
  readonly upBy: ClockTime;
}

/** A little later than the night's start, as the manual's midnight is. */
const jobAfterSeconds = 5;
const upByAfterSeconds = 600;

const days: readonly Weekday[] = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];

/** @param restartAfterSeconds from the start until bringing back begins. */
export function clockOf(timezone: string, restartAfterSeconds: number, nowMs = Date.now()): NightClock {
  const now = Temporal.Instant.fromEpochMilliseconds(Math.floor(nowMs / 1000) * 1000).toZonedDateTimeISO(
    timezone,
  );
  const at = (seconds: number) => now.add({ seconds });
  const clock = (seconds: number) => at(seconds).toPlainTime().toString({ smallestUnit: 'second' });
  return {
    day: days[now.dayOfWeek - 1] ?? 'mon',
    start: clock(0),
    notAfter: clock(Math.floor(restartAfterSeconds / 2)),
    jobFrom: clock(jobAfterSeconds),
    jobFromMs: at(jobAfterSeconds).epochMilliseconds,
    restart: clock(restartAfterSeconds),
    restartMs: at(restartAfterSeconds).epochMilliseconds,
    upBy: clock(restartAfterSeconds + upByAfterSeconds),
  };
}
