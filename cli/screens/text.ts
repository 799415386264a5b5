import Table from 'cli-table3';
import pc from 'picocolors';
import prettyBytes from 'pretty-bytes';

/** Colours, or none: a screen is the same text without them. */
export type Paint = Pick<typeof pc, 'bold' | 'dim' | 'red' | 'green' | 'yellow'>;

export const plain: Paint = pc.createColors(false);

const secondMs = 1_000;
const minuteMs = 60 * secondMs;
const hourMs = 60 * minuteMs;

/** `5 h 12`, `4 min`, `42 s`: for what is looked at from afar. */
export function roughly(ms: number): string {
  const whole = Math.max(0, ms);
  if (whole < minuteMs) return `${Math.floor(whole / secondMs)} s`;
  if (whole < hourMs) return `${Math.floor(whole / minuteMs)} min`;
  return `${Math.floor(whole / hourMs)} h ${twoDigits(Math.floor((whole % hourMs) / minuteMs))}`;
}

/** `12 h 04 min`, `4 min 10 s`, `1.5 s`: for the record. */
export function exactly(ms: number): string {
  if (ms < 10 * secondMs) return `${(Math.max(0, ms) / secondMs).toFixed(1)} s`;
  if (ms < minuteMs) return `${Math.floor(ms / secondMs)} s`;
  if (ms < hourMs)
    return `${Math.floor(ms / minuteMs)} min ${twoDigits(Math.floor((ms % minuteMs) / secondMs))} s`;
  return `${Math.floor(ms / hourMs)} h ${twoDigits(Math.floor((ms % hourMs) / minuteMs))} min`;
}

export function bytes(count: number): string {
  return prettyBytes(count);
}

export function count(many: number, one: string): string {
  return `${many} ${one}${many === 1 ? '' : 's'}`;
}

/** Columns without borders; the last one is never padded. `wrapped`: the one with words to be broken into lines. */
export function columns(rows: readonly (readonly string[])[], wrapped?: number): string {
  if (rows.length === 0) return '';
  const isWide = (cell: string | undefined): boolean => (cell?.length ?? 0) > widest;
  const table = new Table({
    chars: Object.fromEntries(borders.map((name) => [name, ''])),
    style: { 'padding-left': 0, 'padding-right': gap, head: [], border: [], compact: true },
    ...(wrapped !== undefined &&
      rows.some((row) => isWide(row[wrapped])) && {
        wordWrap: true,
        colWidths: Array.from({ length: wrapped + 1 }, (_, at) => (at === wrapped ? widest + gap : null)),
      }),
  });
  table.push(...rows.map((row) => [...row]));
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

export function indented(text: string, by: string): string {
  return text
    .split('\n')
    .map((line) => `${by}${line}`)
    .join('\n');
}

const gap = 3;
/** So that what comes after it is still seen beside it. */
const widest = 70;

const borders = [
  ...['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right'],
  ...['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid', 'middle'],
];

function twoDigits(value: number): string {
  return String(value).padStart(2, '0');
}
