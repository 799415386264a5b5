import type { ClockTime, Procedure, Site, WaitStep } from '../../model/site.ts';
import { secondsBetween } from '../../model/window.ts';
import type { Finding, Path } from '../problem.ts';
import { walkSteps } from './walk.ts';

/** The clock times of a procedure come in the order in which a night goes by. */
export function timeRules(site: Site): readonly Finding[] {
  return Object.entries(site.procedures).flatMap(([name, procedure]) => {
    const path = ['procedures', name];
    const waits = walkSteps(procedure.steps, [...path, 'steps']).flatMap(({ step, path: at }) =>
      step.kind === 'wait' ? waitRules(step, procedure, [...at, 'wait']) : [],
    );
    return [...startRules(procedure, path), ...restartRules(procedure, path), ...waits];
  });
}

function startRules({ start, restart, upBy }: Procedure, path: Path): readonly Finding[] {
  if (start === undefined) return [];
  const { at, notAfter } = start;
  if (at === upBy)
    return [{ path: [...path, 'up-by'], message: `up-by ${upBy} is also when the procedure starts` }];
  const end = endOf(restart, upBy);
  if (
    notAfter === undefined ||
    (notAfter !== at && secondsBetween(at, notAfter) < secondsBetween(at, end.at))
  )
    return [];
  return [
    {
      path: [...path, 'start', 'not-after'],
      message: `not-after ${notAfter} is not between the start at ${at} and ${end.key} ${end.at}`,
    },
  ];
}

function restartRules({ start, restart, upBy }: Procedure, path: Path): readonly Finding[] {
  if (restart.kind === 'when-done' || start?.at === upBy) return [];
  const isBefore =
    start === undefined
      ? couldBeBefore(restart.at, upBy)
      : secondsBetween(start.at, restart.at) < secondsBetween(start.at, upBy);
  return isBefore
    ? []
    : [
        {
          path: [...path, 'restart', 'at'],
          message: `restart.at ${restart.at} is not before up-by ${upBy}`,
          hint: 'bringing back begins at restart.at and has ended at up-by',
        },
      ];
}

const HALF_A_DAY = 43_200;

/** Without a schedule the order is not certain, but nobody brings back for more than half a day. */
function couldBeBefore(restart: ClockTime, upBy: ClockTime): boolean {
  return restart !== upBy && secondsBetween(restart, upBy) <= HALF_A_DAY;
}

function waitRules(wait: WaitStep, { start, restart, upBy }: Procedure, path: Path): readonly Finding[] {
  const deadline = wait.for.kind === 'clock' ? wait.for.at : wait.until;
  if (deadline === undefined) return [];
  const end = endOf(restart, upBy);
  const isLate =
    start === undefined
      ? deadline !== end.at &&
        couldBeBefore(end.at, upBy) &&
        secondsBetween(end.at, deadline) <= secondsBetween(end.at, upBy)
      : secondsBetween(start.at, deadline) > secondsBetween(start.at, end.at);
  if (isLate)
    return [
      {
        path: [...path, wait.for.kind === 'clock' ? 'clock' : 'until'],
        message: `the deadline ${deadline} is after ${end.key} ${end.at}: nothing could be done any more`,
        hint: `choose a time between the start of the procedure and ${end.at}`,
      },
    ];
  const unanswerable = askRules(wait, deadline, { start, end, upBy }, path);
  if (unanswerable.length > 0) return unanswerable;
  if (wait.for.kind !== 'job' || start === undefined) return [];
  const { beganAfter } = wait.for;
  return secondsBetween(start.at, beganAfter) < secondsBetween(start.at, deadline)
    ? []
    : [
        {
          path: [...path, 'began-after'],
          message: `began-after ${beganAfter} is not before until ${deadline}: the job could not end in time`,
        },
      ];
}

/** A question is open from `until` on, and has to be answered before bringing back begins. */
function askRules(
  { otherwise }: WaitStep,
  until: ClockTime,
  { start, end, upBy }: { start: Procedure['start']; end: ReturnType<typeof endOf>; upBy: ClockTime },
  path: Path,
): readonly Finding[] {
  if (typeof otherwise === 'string') return [];
  const { by } = otherwise;
  const isBetween =
    start === undefined
      ? by !== until && secondsBetween(until, by) <= secondsBetween(until, upBy)
      : secondsBetween(start.at, until) < secondsBetween(start.at, by) &&
        secondsBetween(start.at, by) <= secondsBetween(start.at, end.at);
  return isBetween
    ? []
    : [
        {
          path: [...path, 'otherwise', 'by'],
          message: `by ${by} is not between until ${until} and ${end.key} ${end.at}`,
          hint: 'operators answer after until, and before bringing back begins',
        },
      ];
}

/** From when on nothing more is begun. */
function endOf(
  restart: Procedure['restart'],
  upBy: ClockTime,
): { readonly at: ClockTime; readonly key: string } {
  return restart.kind === 'at' ? { at: restart.at, key: 'restart.at' } : { at: upBy, key: 'up-by' };
}
