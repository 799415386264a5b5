import type { Instant } from '../../model/plan.ts';
import type { Alert, HostRound, Repaired, SiteRound } from '../../model/watchdog.ts';
import { clockTime, withClockTimes, type Clock } from '../../model/clock-text.ts';
import { columns, count, plain, type Paint } from './text.ts';

export interface WatchdogScreen {
  readonly sites: readonly SiteRound[];
  readonly alerts: readonly Alert[];
  readonly errors: readonly string[];
}

/** What one round found, did, and could not find out. */
export function watchdogScreen(
  { sites, alerts, errors }: WatchdogScreen,
  now: Instant,
  paint: Paint = plain,
): string {
  const clocks = new Map(sites.map(({ site, timezone }) => [site, { timezone, now }]));
  const parts = [
    columns([
      ['site', 'host', 'state', 'watchdog'],
      ...sites.flatMap(({ site, timezone, hosts }) =>
        hosts.map((host) => hostRow(site, host, { timezone, now }, paint)),
      ),
    ]),
    columns(
      sites.flatMap(({ site, repaired }) => (repaired === null ? [] : repairRows(site, repaired, paint))),
    ),
    columns(
      alerts.map(({ site, subject, text }) => {
        const clock = clocks.get(site);
        return [
          paint.yellow('alert'),
          site,
          subject,
          clock === undefined ? text : withClockTimes(text, clock),
        ];
      }),
    ),
    errors.map((error) => `${paint.red('not looked at')}   ${error}`).join('\n'),
  ];
  const words = [...(errors.length > 0 ? ['the round is not whole'] : []), count(alerts.length, 'alert')];
  return [...parts.filter((part) => part !== ''), words.join(', ')].join('\n\n');
}

function hostRow(
  site: string,
  { host, state, held, verdict }: HostRound,
  clock: Clock,
  paint: Paint,
): readonly string[] {
  if (state === 'no answer') return [site, host, paint.red(state), ''];
  if (held === null || verdict === null) return [site, host, state, ''];
  const { procedure, night, upBy } = held;
  const done = {
    leave: 'left alone',
    orphan: paint.red('orphan'),
    stuck: paint.red('stuck'),
  }[verdict.kind];
  return [
    ...[site, host, `held by ${procedure}, night ${night}, up by ${clockTime(upBy, clock)}`],
    `${done}: ${withClockTimes(verdict.why, clock)}`,
  ];
}

function repairRows(
  site: string,
  { undone, notBack, leftTo }: Repaired,
  paint: Paint,
): readonly (readonly string[])[] {
  return [
    ...undone.map(({ what, host, did }) => [paint.green('back'), site, host, `${what}: ${did}`]),
    ...notBack.map(({ what, host, why }) => [paint.red('NOT BACK'), site, host, `${what}: ${why}`]),
    ...leftTo.map(({ host, why }) => ['left', site, host, why]),
  ];
}
