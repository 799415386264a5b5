import { describe, expect, test } from '@jest/globals';
import { endOf } from '../../cli/commands/watchdog.ts';
import { watchdogScreen } from '../../cli/screens/watchdog.ts';
import type { HostRound, SiteRound, Verdict } from '../../model/watchdog.ts';

const now = '2026-11-22T08:00:00.000Z';
const held = {
  ...{ journal: 'j', epoch: 3, procedure: 'nightly', workflowId: 'coldbackup/vitam/nightly' },
  ...{ night: '2026-11-21', upBy: '2026-11-22T07:30:00.000Z' },
};
const host = (kind: Verdict['kind']): HostRound => ({
  ...{ host: 'app-1', state: 'held', held },
  verdict: { kind, why: 'the run was terminated at 2026-11-22T01:00:00.000Z' },
});
const site = (part: Partial<SiteRound>): SiteRound => ({
  ...{ site: 'vitam', timezone: 'Europe/Paris', hosts: [], repaired: null, alerts: [], errors: [] },
  ...part,
});
const round = (part: Partial<SiteRound>, errors: readonly string[] = []) => ({
  sites: [site(part)],
  alerts: part.alerts ?? [],
  errors,
});
const alert = { site: 'vitam', kind: 'service', subject: 'web on app-1', text: 'stopped' } as const;
const undone = [{ id: '1', what: 'stop web', host: 'app-1', did: 'started' }];
const notBack = [{ id: '2', what: 'stop db', host: 'app-1', why: 'it exits 7' }];

describe('how one round ends', () => {
  test.each([
    ['nothing is held', {}, 'complete'],
    ['a run is in progress', { hosts: [host('leave')] }, 'complete'],
    ['something is told', { alerts: [alert] }, 'failed'],
    [
      'all was brought back',
      { hosts: [host('orphan')], repaired: { undone, notBack: [], leftTo: [] } },
      'failed',
    ],
    ['not all is back', { hosts: [host('stuck')], repaired: { undone, notBack, leftTo: [] } }, 'notBack'],
    ['the end of a repair is not known', { hosts: [host('orphan')] }, 'notBack'],
  ] as const)('%s', (_, part, expected) => {
    expect(endOf(round(part))).toBe(expected);
  });

  test('what could not be looked at', () => {
    expect(endOf(round({ alerts: [alert] }, ['vitam: no answer']))).toBe('unreachable');
  });
});

test('the table says what is held, what was done about it, and what is told, in the time of the site', () => {
  const free: HostRound = { host: 'db-1', state: 'free', held: null, verdict: null };
  const silent: HostRound = { host: 'db-2', state: 'no answer', held: null, verdict: null };
  expect(
    watchdogScreen(
      round(
        {
          hosts: [host('orphan'), free, silent],
          repaired: { undone, notBack, leftTo: [{ host: 'db-1', why: 'taken over' }] },
          alerts: [alert],
        },
        ['vitam: the nights could not be looked at'],
      ),
      now,
    ),
  ).toBe(
    [
      'site    host    state                                            watchdog',
      'vitam   app-1   held by nightly, night 2026-11-21, up by 08:30   orphan: the run was terminated at 02:00',
      'vitam   db-1    free',
      'vitam   db-2    no answer',
      '',
      'back       vitam   app-1   stop web: started',
      'NOT BACK   vitam   app-1   stop db: it exits 7',
      'left       vitam   db-1    taken over',
      '',
      'alert   vitam   web on app-1   stopped',
      '',
      'not looked at   vitam: the nights could not be looked at',
      '',
      'the round is not whole, 1 alert',
    ].join('\n'),
  );
});
