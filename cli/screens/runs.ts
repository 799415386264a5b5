import type { RunSummary } from '../../client/runs.ts';
import { clockTime, type Clock } from '../../model/clock-text.ts';
import { bytes, columns, exactly, plain, type Paint } from './text.ts';

export function runsScreen(runs: readonly RunSummary[], clock: Clock, paint: Paint = plain): string {
  if (runs.length === 0) return 'no runs';
  return columns([
    ['run', 'started', 'took', 'outcome', 'set, or why not'],
    ...runs.map(({ site, procedure, state, startedAt, endedAt, report }) => [
      `${site}/${procedure}`,
      clockTime(startedAt, { ...clock, timezone: report?.timezone ?? clock.timezone }),
      endedAt === null ? '' : exactly(Date.parse(endedAt) - Date.parse(startedAt)),
      coloured(state, paint),
      report?.sets.map(({ store, sizeBytes }) => `${bytes(sizeBytes)} in ${store}`).join(', ') ||
        (report?.reason ?? ''),
    ]),
  ]);
}

function coloured(state: RunSummary['state'], paint: Paint): string {
  if (state === 'complete') return paint.green(state);
  if (state === 'running') return paint.bold(state);
  return state === 'not-back' || state === 'lost' ? paint.red(state) : paint.yellow(state);
}
