import type { WaitSeen } from '../../client/watch.ts';
import type { CopyProgress } from '../../model/activities.ts';
import type { Instant } from '../../model/plan.ts';
import { phaseWords, type NowItem, type Progress } from '../../model/progress.ts';
import { clockTime, runClock, withClockTimes, type Clock } from '../../model/clock-text.ts';
import { bytes, count, plain, roughly, type Paint } from './text.ts';

export interface Moment {
  readonly copies: readonly CopyProgress[];
  readonly waits?: readonly WaitSeen[];
  readonly now: Instant;
  /** Of whoever looks, until the plan has told the site's. */
  readonly timezone: string;
  /** The longest that bringing back may take, when it is known. */
  readonly bringBackMs?: number;
  readonly paint?: Paint;
}

/** What an operator sees at 3 a.m.: since when and until when, what runs, what is down, what can be done. */
export function statusScreen(progress: Progress, moment: Moment): string {
  return [
    headerLine(progress, moment),
    ...nowLines(progress, moment),
    ...downLines(progress, moment),
    ...doLines(progress, moment),
    ...progress.warnings.map((warning) => `note   ${warning}`),
  ].join('\n');
}

export function headerLine(progress: Progress, moment: Moment): string {
  const { site, procedure, since, restartAt, upBy } = progress;
  const { paint = plain } = moment;
  const clock = clockOf(progress, moment);
  const times = [`since ${clockTime(since, clock)}`];
  if (upBy !== null) {
    times.push(`restart ${restartAt === null ? 'when done' : clockTime(restartAt, clock)}`);
    times.push(`up by ${clockTime(upBy, clock)} (${leftUntil(upBy, moment.now)})`);
  }
  return `${paint.bold(`${site}/${procedure}`)}   ${times.join(' · ')}`;
}

/** One line for each thing that runs, and one for each copy. */
export function nowLines(progress: Progress, moment: Moment): readonly string[] {
  const clock = clockOf(progress, moment);
  const items =
    progress.now.length > 0
      ? withWhatWasSeen(progress.now, moment.waits ?? []).map((item) => nowLine(item, clock))
      : [progress.report === null ? phaseWords[progress.phase] : `ended: ${progress.report.outcome}`];
  return labelled('now', [...items, ...moment.copies.map(copyLine)]);
}

/** `vitam-mongo/mongo-1_27018.tar.zst   1.2 GB of 4.1 GB (29 %), 110 MB/s` */
export function copyLine({ artifact, readBytes, totalBytes, bytesPerSecond }: CopyProgress): string {
  const share =
    totalBytes === null || totalBytes === 0
      ? ''
      : ` of ${bytes(totalBytes)} (${Math.min(100, Math.floor((readBytes / totalBytes) * 100))} %)`;
  return `${artifact}   ${bytes(readBytes)}${share}, ${bytes(Math.round(bytesPerSecond))}/s`;
}

export function downLines(progress: Progress, { now, paint = plain }: Moment): readonly string[] {
  const { down, notBack } = progress;
  const [longest] = [...down].sort((a, b) => a.since.localeCompare(b.since));
  const services =
    longest === undefined
      ? 'nothing'
      : `${count(down.length, 'service')}; longest ${longest.service}, ${roughly(Date.parse(now) - Date.parse(longest.since))}`;
  const missing = notBack.length === 0 ? 'not back: none' : paint.red(`not back: ${notBack.length}`);
  return labelled('down', [
    `${services}        ${missing}`,
    ...notBack.map(({ what, host, why }) => paint.red(`${what} on ${host}: ${why}`)),
  ]);
}

/** Of whoever looks, until the plan has told the site's. */
export function clockOf(progress: Progress, { now, timezone }: Pick<Moment, 'now' | 'timezone'>): Clock {
  return runClock(progress, { now, timezone: progress.timezone ?? timezone });
}

function nowLine({ text, since, until, then }: NowItem, clock: Clock): string {
  const words = withClockTimes(text, clock);
  if (until === null) {
    return `${words}   ${roughly(Date.parse(clock.now) - Date.parse(since))} so far`;
  }
  return `${words}   until ${clockTime(until, clock)}${then === null ? '' : `, then ${then}`}`;
}

/** Waits of a kind began in the order in which they are shown. */
function withWhatWasSeen(items: readonly NowItem[], waits: readonly WaitSeen[]): readonly NowItem[] {
  const left = [...waits];
  return items.map((item) => {
    const kind = /^waiting for job /.test(item.text)
      ? 'job'
      : /^waiting for .* = /.test(item.text)
        ? 'count'
        : null;
    const index = left.findIndex((wait) => wait.kind === kind);
    const [wait] = index === -1 ? [] : left.splice(index, 1);
    return wait === undefined ? item : { ...item, text: `${item.text} (${wait.last} now)` };
  });
}

/** What can be done about it, the command whole, to be copied. */
function doLines(progress: Progress, moment: Moment): readonly string[] {
  const { site, phase, paused, questions, report, down } = progress;
  if (report !== null || phase === 'finish') return [doLine(progress, moment)];
  const why = '--why "…"';
  const step = (id: string) => (questions.length > 1 ? ` --step ${id}` : '');
  const more = [
    ...questions.map(
      (one) => `coldbackup answer ${site} ${one.answers.join('|')}${step(one.step)} ${why}   (${one.text})`,
    ),
    ...(paused === null
      ? []
      : [`coldbackup resume ${site} ${why}   (paused by ${paused.by}: ${paused.why})`]),
    ...(phase === 'restart-wait'
      ? [
          `coldbackup bring-back ${site} ${why}   (restarts ${count(down.length, 'service')} now, the set stays)`,
        ]
      : []),
    ...(phase === 'bring-back' && progress.now.some(({ text }) => text.startsWith('round '))
      ? [`coldbackup retry ${site} ${why}   (tries again now)`]
      : []),
  ];
  const last = doLine(progress, moment);
  return more.length === 0 ? [last] : [...labelled('do', more), last.replace(/^do {5}/, '       ')];
}

function doLine({ site, phase, down, notBack, report }: Progress, { bringBackMs }: Moment): string {
  const [missing] = notBack;
  if (missing !== undefined)
    return `do     on ${missing.host}: coldbackup recover --host ${missing.host} --site FILE   (from the journal there, without Temporal)`;
  if (report !== null) return 'do     nothing: the run has ended';
  if (phase === 'bring-back' || phase === 'finish') return 'do     nothing: all is being brought back';
  if (phase === 'archive' && down.length === 0)
    return `do     coldbackup abort ${site} --why "…"   (ends the archives: no set; services are up)`;
  const within = bringBackMs === undefined ? '' : `, at most ${roughly(bringBackMs)}`;
  const effect =
    down.length === 0 ? 'nothing is down' : `brings ${count(down.length, 'service')} back${within}`;
  return `do     coldbackup abort ${site} --why "…"   (${effect})`;
}

function leftUntil(upBy: Instant, now: Instant): string {
  const leftMs = Date.parse(upBy) - Date.parse(now);
  return leftMs >= 0 ? `${roughly(leftMs)} left` : `${roughly(-leftMs)} late`;
}

function labelled(label: string, lines: readonly string[]): readonly string[] {
  return lines.map((line, index) => `${(index === 0 ? label : '').padEnd(7)}${line}`);
}
