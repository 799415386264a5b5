import { Temporal } from 'temporal-polyfill';
import type { Instant } from './plan.ts';
import type { Site, Start, Weekday } from './site.ts';
import { isNight, localInstant, secondsBetween } from './window.ts';

/** What starts by a schedule: nights, and what keeps their sets good. */
export const scheduled = ['nights', 'drill', 'verify'] as const;
export type Scheduled = (typeof scheduled)[number];

/** `vitam/nightly`, `vitam/nightly/drill`. */
export function nameOfSchedule({
  site,
  procedure,
  what = 'nights',
}: {
  readonly site: string;
  readonly procedure: string;
  readonly what?: Scheduled;
}): string {
  return [site, procedure, ...(what === 'nights' ? [] : [what])].join('/');
}

/** Not for workflow code. What a schedule of Temporal has to say for one procedure of a site file. */
export interface WantedSchedule {
  readonly site: string;
  readonly procedure: string;
  readonly what: Scheduled;
  /** Of `verify`. */
  readonly everyDays?: number;
  readonly timezone: string;
  /** The days and the clock time. */
  readonly on: readonly CalendarTimes[];
  /** Beats `on` and `once`. */
  readonly notOn: readonly CalendarTimes[];
  /** Starts that no calendar tells, as instants. */
  readonly once: readonly Instant[];
  /** Milliseconds after its time within which a missed start is made up for. */
  readonly catchUpMs: number;
  readonly pauseOnFailure: boolean;
}

/** All times that are in every one of these lists, on the wall of the site. */
export interface CalendarTimes {
  /** Empty: every year. */
  readonly years: readonly number[];
  /** 1 to 12 */
  readonly months: readonly number[];
  /** 1 to 31 */
  readonly days: readonly number[];
  /** 0 is Sunday. */
  readonly weekdays: readonly number[];
  readonly hours: readonly number[];
  readonly minutes: readonly number[];
  readonly seconds: readonly number[];
}

/** Temporal takes no shorter one. */
const shortestCatchUpMs = 10_000;
const defaultCatchUpMs = 3_600_000;

/** One for each start that a procedure has. `today` decides for which years clock changes are written out. */
export function wantedSchedules(site: Site, today: Instant): readonly WantedSchedule[] {
  return Object.entries(site.procedures).flatMap(([procedure, { start, drill, verify }]) => [
    ...(start === undefined ? [] : [{ procedure, what: 'nights', ...timesOf(site, start, today) } as const]),
    ...(drill === undefined ? [] : [{ procedure, what: 'drill', ...timesOf(site, drill, today) } as const]),
    ...(verify === undefined
      ? []
      : [
          {
            ...({ procedure, what: 'verify', everyDays: verify.everyMs / DAY_MS } as const),
            ...timesOf(site, verify, today),
          },
        ]),
  ]);
}

const DAY_MS = 86_400_000;

function timesOf(
  { site, timezone }: Site,
  start: Start,
  today: Instant,
): Omit<WantedSchedule, 'procedure' | 'what' | 'everyDays'> {
  const { hour, minute, second } = Temporal.PlainTime.from(start.at);
  const changes = nightsNearChanges(timezone, start, today);
  const otherHours = { ...always, hours: always.hours.filter((one) => one !== hour), seconds: [second] };
  return {
    site,
    timezone,
    on: [
      { ...always, weekdays: weekdaysOf(start.days), hours: [hour], minutes: [minute], seconds: [second] },
    ],
    notOn: [
      ...(start.notOn ?? []).map((date) => allOf(Temporal.PlainDate.from(date))),
      ...(changes.length === 0 ? [] : [otherHours]),
      ...changes.map((date) => ({ ...allOf(date), seconds: [second] })),
    ],
    once: changes.map((date) =>
      localInstant(date, start.at, timezone).add({ seconds: 1 }).toInstant().toString(),
    ),
    catchUpMs: catchUpMsOf(start),
    pauseOnFailure: start.pauseOnFailure ?? false,
  };
}

function catchUpMsOf({ at, notAfter }: Start): number {
  if (notAfter === undefined) return defaultCatchUpMs;
  return Math.max(shortestCatchUpMs, secondsBetween(at, notAfter) * 1000);
}

/** A start this close to a change of clocks is an instant. */
const nearMs = 3 * 3_600_000;
/** At least five years ahead; the same list for five years, so that a schedule differs from its file only for a reason. */
const blockOfYears = 5;

/**
 * Where clocks change a calendar of Temporal fires not at all (02:30 in the hour that is left out), or twice (server 1.29:
 * also in the hour before the doubled one, the second time an hour late). On such nights the calendar's second is shut out
 * for the whole day, and the start is an instant one second later, which nothing shuts out.
 */
function nightsNearChanges(timezone: string, start: Start, today: Instant): readonly Temporal.PlainDate[] {
  const year = Temporal.Instant.from(today).toZonedDateTimeISO(timezone).year;
  const first = year - (year % blockOfYears);
  const begin = Temporal.ZonedDateTime.from({ timeZone: timezone, year: first, month: 1, day: 1 });
  const end = begin.add({ years: 2 * blockOfYears });
  const nights = new Map<string, Temporal.PlainDate>();
  for (let change = next(begin); change !== null && isBefore(change, end); change = next(change))
    for (const days of [-1, 0, 1]) {
      const date = change.toPlainDate().add({ days });
      const away = localInstant(date, start.at, timezone).epochMilliseconds - change.epochMilliseconds;
      if (Math.abs(away) <= nearMs && isNight(date, start)) nights.set(date.toString(), date);
    }
  return [...nights.values()];
}

function next(time: Temporal.ZonedDateTime): Temporal.ZonedDateTime | null {
  return time.getTimeZoneTransition('next');
}

function isBefore(a: Temporal.ZonedDateTime, b: Temporal.ZonedDateTime): boolean {
  return a.epochMilliseconds < b.epochMilliseconds;
}

export const always: CalendarTimes = {
  years: [],
  months: numbers(1, 12),
  days: numbers(1, 31),
  weekdays: numbers(0, 6),
  hours: numbers(0, 23),
  minutes: numbers(0, 59),
  seconds: numbers(0, 59),
};

function allOf({ year, month, day }: Temporal.PlainDate): CalendarTimes {
  return { ...always, years: [year], months: [month], days: [day] };
}

const WEEKDAYS: readonly Weekday[] = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];

function weekdaysOf(days: readonly Weekday[]): readonly number[] {
  return days.map((day) => WEEKDAYS.indexOf(day)).sort((a, b) => a - b);
}

function numbers(from: number, to: number): readonly number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

/** `mon-fri 20:00`, `daily 20:00`, `2026-12-25`, `2027-03-28 *:*:00`: for people, and the same for the same times. */
export function sayTimes(times: CalendarTimes): string {
  const { years, months, days, weekdays } = times;
  const isDate = years.length === 1 && months.length === 1 && days.length === 1;
  const date = isDate
    ? [`${years.join('')}-${two(months[0])}-${two(days[0])}`]
    : [
        ...named('year', years, always.years),
        ...named('month', months, always.months),
        ...named('day', days, always.days),
      ];
  const week = isSame(weekdays, always.weekdays)
    ? []
    : [
        ranges(weekdays)
          .map(({ start, end }) => span(WEEKDAYS[start] ?? '', WEEKDAYS[end] ?? ''))
          .join(','),
      ];
  const which = [...date, ...week];
  return [...(which.length === 0 ? ['daily'] : which), ...clock(times)].join(' ');
}

function clock({ hours, minutes, seconds }: CalendarTimes): readonly string[] {
  const parts = [
    field(hours, always.hours),
    field(minutes, always.minutes),
    field(seconds, always.seconds),
  ] as const;
  if (parts.every((part) => part === '*')) return [];
  return [(parts[2] === '00' && parts[0] !== '*' && parts[1] !== '*' ? parts.slice(0, 2) : parts).join(':')];
}

function named(name: string, values: readonly number[], all: readonly number[]): readonly string[] {
  return isSame(values, all) ? [] : [`${name} ${field(values, all)}`];
}

function field(values: readonly number[], all: readonly number[]): string {
  if (isSame(values, all)) return '*';
  return ranges(values)
    .map(({ start, end }) => span(two(start), two(end)))
    .join(',');
}

function span(start: string, end: string): string {
  return start === end ? start : `${start}-${end}`;
}

function two(value: number | undefined): string {
  return String(value ?? 0).padStart(2, '0');
}

function isSame(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((value, index) => value === b[index]);
}

/** Of sorted numbers. */
export function ranges(
  values: readonly number[],
): readonly { readonly start: number; readonly end: number }[] {
  const found: { start: number; end: number }[] = [];
  for (const value of values) {
    const last = found.at(-1);
    if (last?.end === value - 1) last.end = value;
    else found.push({ start: value, end: value });
  }
  return found;
}
