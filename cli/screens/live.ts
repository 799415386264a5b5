import type { CopyProgress } from '../../model/activities.ts';
import type { Instant } from '../../model/plan.ts';
import type { Progress, StepProgress } from '../../model/progress.ts';
import { downLines, headerLine, nowLines, type Moment } from './status.ts';
import { exactly, plain, roughly, type Paint } from './text.ts';

/** A run as it stands, to be drawn again and again: its steps, what runs now, the copies, what is down. */
export function liveLines(
  progress: Progress,
  copies: readonly CopyProgress[],
  now: Instant,
  timezone: string,
  { paint = plain, waits = [] }: Pick<Moment, 'paint' | 'waits'> = {},
): readonly string[] {
  const moment: Moment = { copies, waits, now, timezone, paint };
  return [
    headerLine(progress, moment),
    ...progress.steps.map((step) => stepLine(step, now, paint)),
    ...nowLines(progress, moment),
    ...downLines(progress, moment),
    ...progress.warnings.map((warning) => paint.yellow(`note   ${warning}`)),
  ];
}

function stepLine(
  { id, label, depth, state, startedAt, endedAt, detail }: StepProgress,
  now: Instant,
  paint: Paint,
) {
  const took =
    startedAt === null
      ? ''
      : endedAt === null
        ? `   ${roughly(Date.parse(now) - Date.parse(startedAt))}`
        : `   ${exactly(Date.parse(endedAt) - Date.parse(startedAt))}`;
  const why = detail && state !== 'done' ? `   ${detail}` : '';
  const { mark, colour } = marks[state];
  const line = `${mark} ${'  '.repeat(depth)}${id}  ${label}${took}${why}`;
  return colour === null ? line : paint[colour](line);
}

const marks: Readonly<Record<StepProgress['state'], { mark: string; colour: keyof Paint | null }>> = {
  done: { mark: '✓', colour: 'green' },
  running: { mark: '▸', colour: 'bold' },
  waiting: { mark: '…', colour: 'bold' },
  failed: { mark: '✗', colour: 'red' },
  'gave-up': { mark: '!', colour: 'yellow' },
  skipped: { mark: '-', colour: 'dim' },
  'not-reached': { mark: '·', colour: 'dim' },
};
