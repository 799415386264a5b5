import {
  ScheduleOverlapPolicy,
  type CalendarSpec,
  type LooseRange,
  type Month,
  type ScheduleOptions,
  type ScheduleOptionsAction,
} from '@temporalio/client';
import {
  always,
  nameOfSchedule,
  ranges,
  type CalendarTimes,
  type Scheduled,
  type WantedSchedule,
} from '../model/schedule.ts';
import type { DrillInput } from '../workflows/drill.ts';
import type { VerifyInput } from '../workflows/verify.ts';
import { controlQueue, type ProcedureInput } from '../workflows/messages.ts';
import { detailsOf, workflowIdOf } from './start.ts';

/** Says whose a schedule is; beside the id, so that one made by hand under such an id is never touched. */
export const scheduleMemo = 'coldbackup';

export function scheduleIdOf(named: Named): string {
  return `${controlQueue}/${nameOfSchedule(named)}`;
}

export type Named = Pick<ProcedureInput, 'site' | 'procedure'> & {
  /** Absent: its nights. */
  readonly what?: Scheduled;
};
export type Options = Required<Pick<ScheduleOptions, 'scheduleId' | 'spec' | 'action' | 'policies' | 'memo'>>;

/** What a site file says, as Temporal takes it. */
export function optionsOf(wanted: WantedSchedule): Options {
  const { site, procedure, what } = wanted;
  const named: Named = { site, procedure, ...(what !== 'nights' && { what }) };
  return {
    scheduleId: scheduleIdOf(wanted),
    memo: { [scheduleMemo]: named },
    spec: {
      timezone: wanted.timezone,
      calendars: wanted.on.map(toCalendar),
      skip: wanted.notOn.map(toCalendar),
      // Every so many seconds since 1970: once at the instant, and next as many years later.
      intervals: wanted.once.map((instant) => ({ every: Date.parse(instant) })),
    },
    action: { type: 'startWorkflow', taskQueue: controlQueue, ...workflowOf(wanted) },
    policies: {
      overlap: ScheduleOverlapPolicy.SKIP,
      catchupWindow: wanted.catchUpMs,
      pauseOnFailure: wanted.pauseOnFailure,
    },
  };
}

type StartedWorkflow = Pick<
  ScheduleOptionsAction,
  'workflowType' | 'workflowId' | 'args' | 'staticSummary' | 'staticDetails'
>;

function workflowOf(wanted: WantedSchedule): StartedWorkflow {
  const { site, procedure, what, everyDays = 0 } = wanted;
  const input: ProcedureInput = { site, procedure };
  if (what === 'nights')
    return {
      ...{ workflowType: 'procedure', workflowId: workflowIdOf(input), args: [input] },
      ...{ staticSummary: `${site} ${procedure}`, staticDetails: detailsOf(input) },
    };
  const care: DrillInput | VerifyInput = what === 'drill' ? input : { site, procedure, everyDays };
  return {
    ...{ workflowType: what, workflowId: `${controlQueue}/ask/${what}/${site}/${procedure}`, args: [care] },
    staticSummary: `${site} ${procedure}: ${what}`,
  };
}

function toCalendar({ years, months, days, weekdays, hours, minutes, seconds }: CalendarTimes): CalendarSpec {
  return {
    ...(years.length > 0 && { year: toRanges(years) }),
    month: toRanges(months).map(({ start, end }) => ({ start: monthOf(start), end: monthOf(end) })),
    dayOfMonth: toRanges(days),
    dayOfWeek: weekdays.map((day) => WEEKDAYS[day] ?? 'SUNDAY'),
    hour: toRanges(hours),
    minute: toRanges(minutes),
    second: toRanges(seconds),
  };
}

function toRanges(values: readonly number[]): { start: number; end: number }[] {
  return ranges(values).map((range) => ({ ...range }));
}

const WEEKDAYS = ['SUNDAY', 'MONDAY', 'TUESDAY', 'WEDNESDAY', 'THURSDAY', 'FRIDAY', 'SATURDAY'] as const;
const MONTHS = [
  ...(['JANUARY', 'FEBRUARY', 'MARCH', 'APRIL', 'MAY', 'JUNE'] as const),
  ...(['JULY', 'AUGUST', 'SEPTEMBER', 'OCTOBER', 'NOVEMBER', 'DECEMBER'] as const),
];

function monthOf(number: number): Month {
  return MONTHS[number - 1] ?? 'JANUARY';
}

/** Whatever way a calendar was written, by hand or by `toCalendar`, as the times that it means. */
export function fromCalendar(calendar: CalendarSpec): CalendarTimes {
  const { year, month, dayOfMonth, dayOfWeek, hour, minute, second } = calendar;
  return {
    years: year === undefined ? [] : valuesOf(year, always.years, Number),
    months: valuesOf(month ?? '*', always.months, (name) => MONTHS.indexOf(name) + 1),
    days: valuesOf(dayOfMonth ?? '*', always.days, Number),
    weekdays: valuesOf(dayOfWeek ?? '*', always.weekdays, (name) => WEEKDAYS.indexOf(name)),
    hours: valuesOf(hour ?? 0, always.hours, Number),
    minutes: valuesOf(minute ?? 0, always.minutes, Number),
    seconds: valuesOf(second ?? 0, always.seconds, Number),
  };
}

function valuesOf<T>(
  field: LooseRange<T> | LooseRange<T>[] | '*',
  all: readonly number[],
  toNumber: (unit: T) => number,
): readonly number[] {
  if (field === '*') return all;
  const values = (Array.isArray(field) ? field : [field]).flatMap((range) => expand(range, toNumber));
  return [...new Set(values)].sort((a, b) => a - b);
}

function expand<T>(range: LooseRange<T>, toNumber: (unit: T) => number): readonly number[] {
  if (typeof range !== 'object' || range === null || !('start' in range)) return [toNumber(range)];
  const start = toNumber(range.start);
  const end = range.end === undefined ? start : toNumber(range.end);
  const step = range.step ?? 1;
  return Array.from({ length: Math.floor((end - start) / step) + 1 }, (_, index) => start + index * step);
}
