import type { StepRecord } from '../../model/manifest.ts';
import type { DecisionRecord, Outcome, Report } from '../../model/progress.ts';
import { checksTable } from './checks.ts';
import { restoreText } from './restore.ts';
import { clockTime, runClock, withClockTimes, type Clock } from '../../model/clock-text.ts';
import { bytes, columns, exactly, indented, plain, type Paint } from './text.ts';

/**
 * How a run ended: each step and how long it took, each service and how long it was down, the set and its size.
 * `localTimezone` is for a run that never learned the site's.
 */
export function reportScreen(report: Report, localTimezone: string, paint: Paint = plain): string {
  const timezone = report.timezone ?? localTimezone;
  const { outcome, checks, steps, services, sets, decisions, notBack, warnings } = report;
  const nothingDone = outcome === 'no-go' || outcome === 'already-ran';
  const notGo = checks.filter(({ verdict }) => verdict !== 'go');
  const clock = clockOf(report, timezone);
  return [
    headline(report, clock, paint),
    ...(nothingDone && notGo.length > 0
      ? [checksTable(notGo, { timezone, now: report.startedAt }, paint)]
      : []),
    ...(nothingDone ? [] : [stepsTable(steps, clock)]),
    ...(services.length > 0 ? [servicesTable(report)] : []),
    ...(sets.length > 0 ? [setsTable(report)] : []),
    ...(report.fingerprints !== undefined ? [fingerprintsTable(report.fingerprints)] : []),
    ...(report.restore !== undefined && !nothingDone ? [restoreText(report.restore, paint)] : []),
    ...(decisions.length > 0 ? [decisionsTable(decisions, { timezone, now: report.endedAt })] : []),
    ...(notBack.length > 0 ? [notBackText(report, paint)] : []),
    ...(warnings.length > 0 ? [warnings.map((warning) => paint.yellow(`note   ${warning}`)).join('\n')] : []),
  ].join('\n\n');
}

/** In seconds where the whole run took minutes. */
function clockOf({ startedAt, endedAt }: Report, timezone: string): Clock {
  return runClock({ since: startedAt, upBy: endedAt }, { timezone, now: startedAt });
}

function headline(report: Report, clock: Clock, paint: Paint): string {
  const { site, procedure, night, outcome, reason, startedAt, endedAt } = report;
  const tookMs = Date.parse(endedAt) - Date.parse(startedAt);
  const times = `${clockTime(startedAt, clock)} to ${clockTime(endedAt, clock)} (${exactly(tookMs)})`;
  const colour = outcome === 'complete' ? paint.green : paint.red;
  return [
    `${paint.bold(`${site}/${procedure}`)}   ${night === null ? '' : `night ${night} · `}${times} · ${colour(outcome)}`,
    ...(outcome === 'complete' ? [] : [wordsOf(report, outcome)]),
    ...(reason ? [`why: ${reason}`] : []),
  ].join('\n');
}

const outcomeWords: Readonly<Record<Exclude<Outcome, 'complete'>, string>> = {
  incomplete: 'Everything is back in time, before the copies were done: there is no set.',
  failed: 'Everything is back; there is no set.',
  cancelled: 'Everything is back; there is no set.',
  'not-back': 'NOT everything is back.',
  'no-go': 'Nothing was changed.',
  'already-ran': 'Nothing was changed: this night was run before. Once more: --again',
};

function wordsOf({ restore }: Report, outcome: Exclude<Outcome, 'complete'>): string {
  if (restore === undefined || outcome === 'not-back' || outcome === 'no-go') return outcomeWords[outcome];
  return restore.committed
    ? 'Every service is back, on the restored data.'
    : 'Everything is back, on the data as it was before.';
}

function stepsTable(steps: readonly StepRecord[], clock: Clock): string {
  return columns(
    [
      ['step', '', 'took', 'outcome'],
      ...steps.map(({ id, label, outcome, startedAt, endedAt, detail }) => {
        const indent = '  '.repeat((id.split('/').length - 1) / 2);
        const took =
          startedAt === null || endedAt === null ? '' : exactly(Date.parse(endedAt) - Date.parse(startedAt));
        return [
          `${indent}${id}`,
          label,
          took,
          `${outcome}${detail ? `: ${withClockTimes(detail, clock)}` : ''}`,
        ];
      }),
    ],
    1,
  );
}

function servicesTable({ services }: Report): string {
  return columns([
    ['service', 'host', 'down', 'found'],
    ...services.map(({ service, host, downMs, found, started = false }) => [
      ...[service, host, found === 'stopped' ? '-' : exactly(downMs)],
      found === 'running' ? 'running' : started ? 'stopped, started' : 'stopped, left stopped',
    ]),
  ]);
}

/** Who decided what, and why; as instants where no clock is given. */
export function decisionsTable(decisions: readonly DecisionRecord[], clock?: Clock): string {
  return columns([
    ['decided', 'what', 'by', 'why'],
    ...decisions.map(({ at, what, detail, by, why }) => [
      clock === undefined ? at : clockTime(at, clock),
      `${what}${detail === undefined ? '' : ` ${clock === undefined ? detail : withClockTimes(detail, clock)}`}`,
      by,
      why,
    ]),
  ]);
}

function setsTable({ sets }: Report): string {
  return columns([
    ['set', 'store', 'size'],
    ...sets.map(({ set, store, sizeBytes }) => [set.id, store, bytes(sizeBytes)]),
  ]);
}

function fingerprintsTable(fingerprints: NonNullable<Report['fingerprints']>): string {
  return columns([
    ['fingerprint', 'read on', 'took'],
    ...fingerprints.map(({ database, set, member, copy = false, tookMs }) => [
      `${database} ${set}`,
      copy ? `the copy of ${member}` : member,
      exactly(tookMs),
    ]),
  ]);
}

function notBackText({ notBack }: Report, paint: Paint): string {
  const hosts = [...new Set(notBack.map(({ host }) => host))];
  return [
    paint.red('not back'),
    indented(columns(notBack.map(({ what, host, why }) => [what, host, why])), '  '),
    ...hosts.map((host) => `do: on ${host}: coldbackup recover --host ${host} --site FILE`),
  ].join('\n');
}
