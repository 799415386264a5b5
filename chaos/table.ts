import Table from 'cli-table3';
import type { CellResult } from './cell.ts';

export function cellLine({ state, position, fault, backMs, outcome, why, logs }: CellResult): string {
  const time = backMs === null ? '-' : seconds(backMs);
  const line = `${state.padEnd(14)} ${time.padStart(7)}  ${fault} @ ${position}  ${outcome ?? ''}`.trimEnd();
  if (state === 'held') return line;
  if (state === 'not applicable') return `${line}  (${why})`;
  return `${line}\n    ${why}\n    logs: ${logs ?? ''}\n    again: npm run chaos -- --only ${JSON.stringify(`${fault} @ ${position}`)}`;
}

/** A row a fault, and the sum. `after up-by`: the latest of those that had one; negative: before it. */
export function matrixTable(results: readonly CellResult[]): string {
  const table = new Table({
    head: [
      'fault',
      'cells tried',
      'held',
      'failed',
      'not applicable',
      'back: median',
      'worst',
      'after up-by',
    ],
    style: { head: [], border: [], compact: true },
    colAligns: ['left', 'right', 'right', 'right', 'right', 'right', 'right', 'right'],
  });
  for (const fault of new Set(results.map((result) => result.fault)))
    table.push([fault, ...figures(results.filter((result) => result.fault === fault))]);
  table.push(['all', ...figures(results)]);
  return table.toString();
}

function figures(results: readonly CellResult[]): string[] {
  const count = (state: CellResult['state']) => results.filter((result) => result.state === state).length;
  const times = results.flatMap(({ backMs, state }) => (state === 'held' && backMs !== null ? [backMs] : []));
  times.sort((a, b) => a - b);
  const latest = results.flatMap(({ lateMs }) => lateMs ?? []);
  const middle = times[Math.floor((times.length - 1) / 2)];
  const worst = times.at(-1);
  return [
    ...[count('held') + count('failed'), count('held'), count('failed'), count('not applicable')].map(String),
    middle === undefined ? '-' : seconds(middle),
    worst === undefined ? '-' : seconds(worst),
    latest.length === 0 ? '-' : seconds(Math.max(...latest)),
  ];
}

function seconds(durationMs: number): string {
  return `${(durationMs / 1_000).toFixed(1)} s`;
}
