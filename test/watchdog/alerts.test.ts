import { describe, expect, test } from '@jest/globals';
import type { HostSeen } from '../../model/activities.ts';
import type { Procedure, Site } from '../../model/site.ts';
import type { HostLook } from '../../model/watchdog.ts';
import {
  hostAlerts,
  nightAlerts,
  setAlerts,
  storesOfNights,
  type NightFacts,
} from '../../workers/watchdog/alerts.ts';

describe('what nothing holds', () => {
  const seen = (services: HostSeen['services'], balancers: HostSeen['balancers'] = []): HostLook => ({
    ...{ host: 'app-1', error: null, view: { host: 'app-1', held: null } },
    seen: { host: 'app-1', held: false, services, balancers },
  });
  const service = (normally: 'running' | 'stopped', state: HostSeen['services'][number]['state']) => ({
    ...{ service: 'web', normally, state, detail: 'as it says' },
  });

  test.each([
    ['running', 'running', 0],
    ['running', 'stopped', 1],
    ['running', 'failed', 1],
    ['running', 'unknown', 1],
    ['running', 'starting', 0],
    ['running', 'stopping', 0],
    ['stopped', 'stopped', 0],
    ['stopped', 'running', 1],
    ['stopped', 'failed', 1],
    ['stopped', 'starting', 0],
  ] as const)('a service that is normally %s and is %s makes %d alerts', (normally, state, many) => {
    expect(hostAlerts(seen([service(normally, state)]))).toHaveLength(many);
  });

  test('an alert says which service, where, and how it is', () => {
    expect(hostAlerts(seen([service('running', 'stopped')]))).toEqual([
      {
        kind: 'service',
        subject: 'web on app-1',
        text: 'stopped, although normally running, and nothing holds it: as it says',
      },
    ]);
  });

  test('a balancer that is off, or that cannot be asked, is told', () => {
    expect(
      hostAlerts(
        seen(
          [],
          [
            { database: 'on', mode: 'full' },
            { database: 'off', mode: 'off' },
            { database: 'gone', mode: null, error: 'no route' },
          ],
        ),
      ).map(({ subject, text }) => `${subject}: ${text}`),
    ).toEqual([
      'balancer of off: off, and nothing holds it',
      'balancer of gone: could not be asked: no route',
    ]);
  });

  test('a host that does not answer is told, and one that is held is not looked at', () => {
    expect(hostAlerts({ host: 'app-1', view: null, seen: null, error: 'no answer' })).toEqual([
      { kind: 'host', subject: 'app-1', text: 'no answer' },
    ]);
    expect(hostAlerts({ host: 'app-1', view: null, seen: null, error: null })).toEqual([]);
  });
});

describe('nights and sets', () => {
  const procedure: Procedure = {
    start: { days: ['mon', 'tue', 'wed', 'thu', 'fri'], at: '20:00', notAfter: '21:00' },
    restart: { kind: 'when-done' },
    upBy: '08:00',
    onFailure: 'fail',
    whenHeld: 'refuse',
    steps: [
      {
        kind: 'parallel',
        branches: {
          one: [
            {
              ...{ kind: 'backup', databases: ['db'], method: 'cold', from: 'primary', to: ['vault'] },
              onFailure: 'fail',
            },
          ],
        },
        onFailure: 'fail',
      },
    ],
  };
  const site = {
    ...{ site: 'vitam', timezone: 'Europe/Paris', hosts: ['app-1'], services: {}, jobs: {}, counts: {} },
    ...{ databases: {}, stores: {}, procedures: { nightly: procedure, byHand: { ...procedure } } },
    limits: { graceMs: 0, longestDownMs: 0, giveUpAfterMs: 0 },
  } as Site;
  delete (site.procedures['byHand'] as { start?: unknown }).start;

  const facts = (asked: {
    schedule?: Awaited<ReturnType<NightFacts['schedule']>>;
    started?: (from: string) => boolean;
  }): NightFacts => ({
    schedule: async () =>
      asked.schedule === undefined ? { createdAt: '2026-01-01T00:00:00.000Z', paused: null } : asked.schedule,
    startedSince: async (_site, _procedure, from) => asked.started?.(from) ?? false,
  });
  /** Fri 2026-11-20 20:00 in Paris is 19:00 in UTC; the latest start 20:00. */
  const texts = async (now: string, nights = facts({})) =>
    (await nightAlerts(site, nights, now)).map(({ subject, text }) => `${subject}: ${text}`);

  test('a night whose latest start has passed, and that no run began, is told; a procedure by hand is not', async () => {
    expect(await texts('2026-11-20T20:02:00.001Z')).toEqual([
      'nightly: the night of 2026-11-20 did not start (at 2026-11-20T19:00:00.000Z, latest 2026-11-20T20:00:00.000Z)',
    ]);
  });

  test('two minutes after the latest start are waited for: until then it is about the night before', async () => {
    const begun = facts({ started: (from) => from < '2026-11-20' });
    expect(await texts('2026-11-20T20:02:00.000Z', begun)).toEqual([]);
    expect(await texts('2026-11-20T20:02:00.001Z', begun)).toHaveLength(1);
  });

  test('a run counts from five minutes before the start', async () => {
    const asked: string[] = [];
    const seen = facts({ started: (from) => asked.push(from) > 0 });
    expect(await texts('2026-11-22T12:00:00.000Z', seen)).toEqual([]);
    expect(asked).toEqual(['2026-11-20T18:55:00.000Z']);
  });

  test('no night is missed of before the schedule was made', async () => {
    const at = (createdAt: string) => facts({ schedule: { createdAt, paused: null } });
    expect(await texts('2026-11-21T08:00:00.000Z', at('2026-11-20T20:00:00.001Z'))).toEqual([]);
    expect(await texts('2026-11-21T08:00:00.000Z', at('2026-11-20T20:00:00.000Z'))).toHaveLength(1);
  });

  test('a schedule that is paused is named as the reason, and one that is not there is told', async () => {
    const paused = facts({ schedule: { createdAt: '2026-01-01T00:00:00.000Z', paused: 'repairs (alice)' } });
    expect((await texts('2026-11-21T08:00:00.000Z', paused))[0]).toMatch(
      /; its schedule is paused: repairs \(alice\)$/,
    );
    expect((await texts('2026-11-21T08:00:00.000Z', facts({ schedule: null })))[0]).toContain('no schedule');
  });

  const sets = (now: string, newest: Record<string, string> | null, nights = facts({})) =>
    setAlerts(site, [{ store: 'vault', newest, error: newest === null ? 'gone' : null }], nights, now);

  test('a night has a day to make its set: weekends are no reason', async () => {
    const ofThursday = { nightly: '2026-11-20T02:00:00.000Z' };
    expect(await sets('2026-11-21T19:00:00.000Z', ofThursday)).toEqual([]);
    expect(await sets('2026-11-21T19:00:00.001Z', ofThursday)).toEqual([
      {
        kind: 'set',
        subject: 'nightly in vault',
        text: 'the newest set is of 2026-11-20T02:00:00.000Z, and the night of 2026-11-20 should have made one',
      },
    ]);
    const ofFriday = { nightly: '2026-11-21T02:00:00.000Z' };
    expect(await sets('2026-11-24T18:59:00.000Z', ofFriday)).toEqual([]);
    expect(await sets('2026-11-24T19:00:00.001Z', ofFriday)).toHaveLength(1);
  });

  test('no set at all is told, and a store that cannot be read', async () => {
    expect((await sets('2026-11-22T12:00:00.000Z', {}))[0]?.text).toContain('there is no set');
    expect(await sets('2026-11-22T12:00:00.000Z', null)).toEqual([
      { kind: 'set', subject: 'store vault', text: 'its sets could not be listed: gone' },
    ]);
  });

  test('only the stores of nights are asked, also those in parallel branches', () => {
    expect(storesOfNights(site)).toEqual(['vault']);
    expect(storesOfNights({ ...site, procedures: {} })).toEqual([]);
  });
});
