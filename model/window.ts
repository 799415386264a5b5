import { Temporal } from 'temporal-polyfill';
import type { Instant } from './plan.ts';
import type { ClockTime, Procedure, Start, Weekday } from './site.ts';

/** The hours that a run belongs to. Not for workflow code: instants are settled before, by control. */
export interface Window {
  /** Local date of the scheduled start that the run belongs to, or of the run itself where there is no schedule. */
  readonly night: string;
  readonly windowStart: Instant;
  /** null: bringing back begins when all is done. */
  readonly restartAt: Instant | null;
  readonly upBy: Instant;
  /** A scheduled night must not begin later than this; null: a run by hand may. */
  readonly latestStart: Instant | null;
  /**
   * The first such instant from the start of the window. Clocks that change: what happens twice is meant the first time,
   * what does not happen is counted with the offset before the gap (RFC 5545, 3.3.5).
   */
  at(clock: ClockTime): Instant;
  /** As `at`, and never after bringing back begins. */
  deadline(clock: ClockTime): Instant;
  /** As `at`, but the last such instant before `end` where the first one would be too late. */
  since(clock: ClockTime, end: Instant): Instant;
}

export interface WindowInput {
  readonly timezone: string;
  readonly procedure: Pick<Procedure, 'start' | 'restart' | 'upBy'>;
  readonly startedAt: Instant;
  /** A clock time or an instant: the window begins now, and this is when everything must be up. */
  readonly upBy?: string;
  /** Only to be looked at: outside the window, that of the next night. */
  readonly preview?: boolean;
}

/** Thrown when a run has no window: it would not know by when everything must be up. */
export class WindowError extends Error {
  override readonly name = 'WindowError';
}

/** A schedule may fire a little early, and clocks differ. */
const EARLY = { minutes: 5 };

/** @throws WindowError when the procedure has a schedule, the run is outside of its window, and there is no `upBy`. */
export function resolveWindow(input: WindowInput): Window {
  const { timezone, procedure, upBy } = input;
  const now = Temporal.Instant.from(input.startedAt).toZonedDateTimeISO(timezone);
  if (upBy !== undefined) return byHand(now, procedure, upBy);
  if (procedure.start === undefined) return windowFrom(now, now.toPlainDate(), procedure);
  const night =
    nightOf(now, procedure.start) ?? (input.preview === true ? nextNight(now, procedure.start) : null);
  if (night === null) throw new WindowError(outside(now, procedure.start));
  const at = localInstant(night, procedure.start.at, timezone);
  return windowFrom(at, night, procedure, notAfter(at, procedure.start));
}

/** The first such clock time after `now`, or the instant that is given. @throws WindowError */
export function instantOf(upBy: string, at: { readonly now: Instant; readonly timezone: string }): Instant {
  const now = Temporal.Instant.from(at.now).toZonedDateTimeISO(at.timezone);
  return instant(isClockTime(upBy) ? firstAfter(now, upBy) : instantFrom(upBy, now));
}

/** Seconds by the clock on the wall from one clock time to the next time that the other is shown; 0 for the same. */
export function secondsBetween(from: ClockTime, to: ClockTime): number {
  return (secondOfDay(to) - secondOfDay(from) + 86_400) % 86_400;
}

function secondOfDay(clock: ClockTime): number {
  const { hour, minute, second } = Temporal.PlainTime.from(clock);
  return hour * 3600 + minute * 60 + second;
}

function windowFrom(
  start: Temporal.ZonedDateTime,
  night: Temporal.PlainDate,
  procedure: WindowInput['procedure'],
  latestStart: Temporal.ZonedDateTime | null = null,
): Window {
  const upBy = firstAfter(start, procedure.upBy);
  const restart = procedure.restart.kind === 'at' ? firstFrom(start, procedure.restart.at) : null;
  const back = restart && beforeUpBy(start, restart, upBy, procedure);
  return { ...makeWindow(start, night, back, upBy), latestStart: latestStart && instant(latestStart) };
}

/** A night whose clocks change can turn the order of two times around: then the time to come back is kept. */
function beforeUpBy(
  start: Temporal.ZonedDateTime,
  restart: Temporal.ZonedDateTime,
  upBy: Temporal.ZonedDateTime,
  { restart: rule, upBy: upByClock }: WindowInput['procedure'],
): Temporal.ZonedDateTime {
  if (rule.kind === 'when-done' || isBefore(restart, upBy)) return restart;
  const moved = upBy.subtract({ seconds: secondsBetween(rule.at, upByClock) });
  return isBefore(moved, start) ? start : moved;
}

function byHand(now: Temporal.ZonedDateTime, procedure: WindowInput['procedure'], upBy: string): Window {
  const end = isClockTime(upBy) ? firstAfter(now, upBy) : instantFrom(upBy, now);
  if (!isBefore(now, end))
    throw new WindowError(`--up-by ${upBy} is not after the start of the run, ${clockOf(now)}`);
  const restart = procedure.restart.kind === 'at' ? firstFrom(now, procedure.restart.at) : null;
  const night = (procedure.start && lastStart(now, procedure.start)) ?? now.toPlainDate();
  return makeWindow(now, night, restart && isBefore(restart, end) ? restart : null, end);
}

function makeWindow(
  start: Temporal.ZonedDateTime,
  night: Temporal.PlainDate,
  restart: Temporal.ZonedDateTime | null,
  upBy: Temporal.ZonedDateTime,
): Window {
  const limit = restart ?? upBy;
  const zone = start.timeZoneId;
  return {
    night: night.toString(),
    windowStart: instant(start),
    restartAt: restart && instant(restart),
    upBy: instant(upBy),
    latestStart: null,
    at: (clock) => instant(firstFrom(start, clock)),
    deadline: (clock) => {
      const first = firstFrom(start, clock);
      return instant(isBefore(limit, first) ? limit : first);
    },
    since: (clock, end) => {
      const last = Temporal.Instant.from(end).toZonedDateTimeISO(zone);
      const first = firstFrom(start, clock);
      return instant(isBefore(first, last) ? first : lastBefore(last, clock));
    },
  };
}

/**
 * By the calendar on the wall, so that clock times keep the order in which a person reads them; only a window that begins
 * in the second of two equal hours counts on in that hour.
 */
function firstFrom(start: Temporal.ZonedDateTime, clock: ClockTime): Temporal.ZonedDateTime {
  const zone = start.timeZoneId;
  const wall = start.toPlainDateTime();
  const today = wall.withPlainTime(clock);
  const local = Temporal.PlainDateTime.compare(today, wall) < 0 ? today.add({ days: 1 }) : today;
  const found = local.toZonedDateTime(zone, { disambiguation: 'compatible' });
  return isBefore(found, start) ? local.toZonedDateTime(zone, { disambiguation: 'later' }) : found;
}

function firstAfter(start: Temporal.ZonedDateTime, clock: ClockTime): Temporal.ZonedDateTime {
  const first = firstFrom(start, clock);
  return isBefore(start, first)
    ? first
    : localInstant(first.toPlainDate().add({ days: 1 }), clock, start.timeZoneId);
}

function lastBefore(end: Temporal.ZonedDateTime, clock: ClockTime): Temporal.ZonedDateTime {
  const today = localInstant(end.toPlainDate(), clock, end.timeZoneId);
  return isBefore(today, end)
    ? today
    : localInstant(end.toPlainDate().subtract({ days: 1 }), clock, end.timeZoneId);
}

/** The night whose start is not over for this moment, the latest first. */
function nightOf(now: Temporal.ZonedDateTime, start: Start): Temporal.PlainDate | null {
  const dates = [1, 0, -1]
    .map((days) => now.toPlainDate().add({ days }))
    .filter((date) => isNight(date, start));
  return (
    dates.find((date) => {
      const at = localInstant(date, start.at, now.timeZoneId);
      return !isBefore(now, at.subtract(EARLY)) && !isBefore(notAfter(at, start), now);
    }) ?? null
  );
}

function nextNight(now: Temporal.ZonedDateTime, start: Start): Temporal.PlainDate | null {
  const dates = Array.from({ length: 32 }, (_, days) => now.toPlainDate().add({ days }));
  return (
    dates.find(
      (date) => isNight(date, start) && isBefore(now, localInstant(date, start.at, now.timeZoneId)),
    ) ?? null
  );
}

/** The latest moment at which a night that was to start `at` may. */
export function notAfter(at: Temporal.ZonedDateTime, start: Start): Temporal.ZonedDateTime {
  return start.notAfter === undefined ? at.add({ hours: 1 }) : firstAfter(at, start.notAfter);
}

/** A run by hand is that of the last scheduled night, so that the next night is not taken for one that already ran. */
function lastStart(now: Temporal.ZonedDateTime, start: Start): Temporal.PlainDate | null {
  const dates = [0, -1, -2, -3, -4, -5, -6, -7].map((days) => now.toPlainDate().add({ days }));
  return (
    dates.find(
      (date) => isNight(date, start) && !isBefore(now, localInstant(date, start.at, now.timeZoneId)),
    ) ?? null
  );
}

const WEEKDAYS: readonly Weekday[] = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];

/** Whether the schedule has a start on this local date. */
export function isNight(date: Temporal.PlainDate, { days, notOn = [] }: Start): boolean {
  const day = WEEKDAYS[date.dayOfWeek - 1];
  return day !== undefined && days.includes(day) && !notOn.includes(date.toString());
}

/** What happens twice is meant the first time, what does not happen is counted with the offset before the gap. */
export function localInstant(
  date: Temporal.PlainDate,
  clock: ClockTime,
  zone: string,
): Temporal.ZonedDateTime {
  return date.toPlainDateTime(clock).toZonedDateTime(zone, { disambiguation: 'compatible' });
}

function isClockTime(words: string): boolean {
  return /^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?$/.test(words);
}

function instantFrom(words: string, now: Temporal.ZonedDateTime): Temporal.ZonedDateTime {
  try {
    return Temporal.Instant.from(words).toZonedDateTimeISO(now.timeZoneId);
  } catch {
    throw new WindowError(
      `--up-by takes a clock time such as "08:30" or an instant such as "${instant(now)}", not "${words}"`,
    );
  }
}

function outside(now: Temporal.ZonedDateTime, start: Start): string {
  const until = start.notAfter ?? '1 hour later';
  return (
    `${clockOf(now)} is outside of the window: a run starts at ${start.at} (${start.days.join(', ')}), ` +
    `at the latest ${until}${except(start)}. To run it now, say by when everything must be up: --up-by HH:MM`
  );
}

function except({ notOn = [] }: Start): string {
  return notOn.length === 0 ? '' : `, and not on ${notOn.join(', ')}`;
}

/** `Sun 2027-03-28 14:05 Europe/Paris` */
function clockOf(time: Temporal.ZonedDateTime): string {
  const day = WEEKDAYS[time.dayOfWeek - 1] ?? '';
  const clock = time.toPlainTime().toString({ smallestUnit: 'minute' });
  return `${day} ${time.toPlainDate().toString()} ${clock} ${time.timeZoneId}`;
}

function isBefore(a: Temporal.ZonedDateTime, b: Temporal.ZonedDateTime): boolean {
  return a.epochMilliseconds < b.epochMilliseconds;
}

function instant(time: Temporal.ZonedDateTime): Instant {
  return time.toInstant().toString({ smallestUnit: 'millisecond' });
}
