import { createHash } from 'node:crypto';
import type { ScheduleDescription, ScheduleSpec } from '@temporalio/client';
import { sayTimes } from '../model/schedule.ts';
import { fromCalendar, type Options } from './schedule-options.ts';

/** What a schedule says, in words that are the same for the same meaning: a name → its values, in order. */
export type Facts = Readonly<Record<string, readonly string[]>>;

export interface FactDifference {
  /** `start`, `not on`, `catch-up window` … */
  readonly what: string;
  /** In Temporal and not in the site file. */
  readonly found: readonly string[];
  /** In the site file and not in Temporal. */
  readonly wanted: readonly string[];
}

/** Paused or not is no fact: it is an operator's decision, and no file's. */
export function factsOf(schedule: Options | ScheduleDescription): Facts {
  const { spec, action, policies } = schedule;
  const facts: Record<string, readonly (string | null)[]> = {
    'time zone': [spec.timezone ?? 'UTC'],
    start: (spec.calendars ?? []).map(sayCalendar),
    'not on': (spec.skip ?? []).map(sayCalendar),
    'starts once': (spec.intervals ?? []).map(sayInterval),
    from: [spec.startAt?.toISOString() ?? null],
    until: [spec.endAt?.toISOString() ?? null],
    jitter: [said(spec.jitter === 0 ? undefined : spec.jitter, 'ms')],
    'catch-up window': [said(policies.catchupWindow, 'ms')],
    'when it runs still': [policies.overlap ?? 'SKIP'],
    'pause on failure': [policies.pauseOnFailure === true ? 'yes' : 'no'],
    'remaining starts': ['state' in schedule ? said(schedule.state.remainingActions) : null],
    workflow: [`${nameOf(action.workflowType)} ${action.workflowId ?? ''}`],
    queue: [action.taskQueue],
    input: [JSON.stringify(sorted(action.args ?? []))],
    summary: [action.staticSummary ?? null],
    details: [action.staticDetails ?? null],
    'run timeout': [said(action.workflowRunTimeout, 'ms')],
    'execution timeout': [said(action.workflowExecutionTimeout, 'ms')],
    retry: [action.retry === undefined ? null : JSON.stringify(sorted(action.retry))],
  };
  return Object.fromEntries(
    Object.entries(facts).map(([what, values]) => [
      what,
      [...new Set(values.filter((value) => value !== null))].sort(),
    ]),
  );
}

export function differencesOf(found: Facts, wanted: Facts): readonly FactDifference[] {
  return Object.keys(wanted).flatMap((what) => {
    const is = found[what] ?? [];
    const should = wanted[what] ?? [];
    const difference = {
      what,
      found: is.filter((value) => !should.includes(value)),
      wanted: should.filter((value) => !is.includes(value)),
    };
    return difference.found.length + difference.wanted.length === 0 ? [] : [difference];
  });
}

/** What was applied is remembered by its digest, so that a change by hand is told from a changed file. */
export function digestOfFacts(facts: Facts): string {
  return createHash('sha256')
    .update(JSON.stringify(sorted(facts)))
    .digest('hex')
    .slice(0, 16);
}

function sayCalendar(calendar: NonNullable<ScheduleSpec['calendars']>[number]): string {
  return sayTimes(fromCalendar(calendar));
}

/** Longer than any interval that a person means; see `optionsOf`. */
const onceMs = 40 * 365 * 24 * 3_600_000;

function sayInterval({ every, offset }: NonNullable<ScheduleSpec['intervals']>[number]): string {
  const everyMs = Number(every);
  const offsetMs = Number(offset ?? 0);
  if (everyMs >= onceMs && offsetMs === 0) return new Date(everyMs).toISOString();
  return `every ${everyMs} ms${offsetMs === 0 ? '' : ` from ${offsetMs} ms`}`;
}

function said(value: string | number | null | undefined, unit = ''): string | null {
  return value === undefined || value === null ? null : `${value}${unit && ` ${unit}`}`;
}

function nameOf(workflowType: string | { readonly name: string }): string {
  return typeof workflowType === 'string' ? workflowType : workflowType.name;
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, part]) => [key, sorted(part)]),
  );
}
