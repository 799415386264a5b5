import type { Instant } from '../../model/plan.ts';
import type { Progress } from '../../model/progress.ts';
import { clockOf } from './status.ts';
import { clockTime, withClockTimes } from '../../model/clock-text.ts';
import { exactly } from './text.ts';

/**
 * What happened between two looks at a run, a line for each thing: for logs, where nothing can be drawn again. Nothing
 * before the plan is there: it says whose clock the times are of.
 */
export function changesBetween(
  before: Progress | null,
  after: Progress,
  now: Instant,
  timezone: string,
): readonly string[] {
  if (after.phase === 'resolve') return [];
  const clock = clockOf(after, { now, timezone });
  const stamp = clockTime(now, { ...clock, seconds: true });
  return [
    ...(before?.phase === after.phase ? [] : [`${after.site}/${after.procedure}: ${after.phase}`]),
    ...stepChanges(before, after),
    ...newIn(before?.now.map(nowText), after.now.map(nowText)),
    ...newIn(before?.decisions.map(decisionText), after.decisions.map(decisionText)),
    ...newIn(before?.warnings, after.warnings).map((warning) => `note: ${warning}`),
    ...newIn(before?.notBack.map(notBackText), after.notBack.map(notBackText)),
  ].map((line) => `${stamp}  ${withClockTimes(line, clock)}`);
}

function stepChanges(before: Progress | null, after: Progress): readonly string[] {
  const earlier = new Map(before?.steps.map(({ id, state }) => [id, state]));
  return after.steps
    .filter(({ id, state }) => state !== (earlier.get(id) ?? 'not-reached'))
    .filter(({ id, state }) => !(state === 'waiting' && earlier.get(id) === 'running'))
    .map(({ id, label, state, startedAt, endedAt, detail }) => {
      const took =
        startedAt === null || endedAt === null
          ? ''
          : ` (${exactly(Date.parse(endedAt) - Date.parse(startedAt))})`;
      return `step ${id} ${label}: ${state}${took}${detail ? `: ${detail}` : ''}`;
    });
}

function nowText({ text, until, then }: Progress['now'][number]): string {
  return `${text}${until === null ? '' : ` until ${until}`}${then === null ? '' : `, then ${then}`}`;
}

function decisionText({ what, detail, by, why }: Progress['decisions'][number]): string {
  return `${by} decided: ${what}${detail === undefined ? '' : ` ${detail}`} (${why})`;
}

function notBackText({ what, host, why }: Progress['notBack'][number]): string {
  return `NOT BACK: ${what} on ${host}: ${why}`;
}

function newIn(before: readonly string[] | undefined, after: readonly string[]): readonly string[] {
  return after.filter((text) => before?.includes(text) !== true);
}
