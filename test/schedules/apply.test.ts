import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { ScheduleOverlapPolicy } from '@temporalio/client';
import { scheduleChangesScreen, schedulesScreen } from '../../cli/screens/schedules.ts';
import { NoSuchScheduleError, RefusedError } from '../../client/errors.ts';
import { applySchedules, type ScheduleChange } from '../../client/schedule-apply.ts';
import { listSchedules, pauseSchedule, resumeSchedule } from '../../client/schedules.ts';
import { waitFor } from '../support/processes.ts';
import { siteWith, startServer, type Server } from './site.ts';

let temporal: Server;
beforeAll(async () => {
  temporal = await startServer();
});
afterAll(() => temporal.close());

const id = 'coldbackup/times/nightly';
const nightly = { site: 'times', procedure: 'nightly' };
const weekdays = '{ days: mon-fri, at: "20:00", not-after: "21:30" }';

const apply = (starts: Readonly<Record<string, string | null>>, options = {}) =>
  applySchedules(temporal.link, [siteWith(starts)], options);
const schedules = () => temporal.link.client.schedule;
const described = () => schedules().getHandle(id).describe();

/** The server lists what was made or deleted a moment later. */
const listed = (ids: readonly string[]) =>
  waitFor(
    async () => {
      const found: string[] = [];
      for await (const { scheduleId } of schedules().list()) found.push(scheduleId);
      return found.sort().join() === [...ids].sort().join();
    },
    { what: `the list of schedules is ${ids.join()}`, withinMs: 20_000 },
  );

beforeEach(async () => {
  for await (const { scheduleId } of schedules().list()) await schedules().getHandle(scheduleId).delete();
  await listed([]);
});

describe('coldbackup schedule apply', () => {
  test('makes a schedule of every procedure with a start, and says so before with a dry run', async () => {
    const starts = { nightly: weekdays, weekly: '{ days: sun, at: "22:00" }', 'by-hand': null };
    expect(brief(await apply(starts, { dryRun: true }))).toEqual([
      'create coldbackup/times/nightly',
      'create coldbackup/times/weekly',
    ]);
    await expect(described()).rejects.toThrow(/not found/);

    await apply(starts);
    await listed([id, 'coldbackup/times/weekly']);
    expect(brief(await apply(starts))).toEqual([
      'same coldbackup/times/nightly',
      'same coldbackup/times/weekly',
    ]);
    expect(brief(await apply(starts, { dryRun: true }))).toHaveLength(2);
  });

  test('starts workflow "procedure" as the command line does, once at a time, and not later than not-after', async () => {
    await apply({ nightly: weekdays });
    const { action, policies, spec, memo } = await described();
    expect(action).toMatchObject({
      workflowType: 'procedure',
      workflowId: id,
      taskQueue: 'coldbackup',
      args: [nightly],
    });
    expect(policies).toEqual({
      overlap: ScheduleOverlapPolicy.SKIP,
      catchupWindow: 90 * 60_000,
      pauseOnFailure: false,
    });
    expect(spec.timezone).toBe('Europe/Paris');
    expect(spec.skip).toEqual([]);
    expect(memo).toEqual({ coldbackup: nightly });
  });

  test('makes schedules of their own for drills and for reading sets again', async () => {
    const care =
      'drill: { days: sun, at: "10:00" }\n    verify: { days: mon-sun, at: "09:00", every: 30d, not-on: ["2026-12-24"] }';
    const file = { nightly: `${weekdays}\n    ${care}` };
    expect(brief(await apply(file))).toEqual([`create ${id}`, `create ${id}/drill`, `create ${id}/verify`]);
    expect(brief(await apply(file))).toEqual([`same ${id}`, `same ${id}/drill`, `same ${id}/verify`]);
    const { action } = await schedules().getHandle(`${id}/verify`).describe();
    expect(action).toMatchObject({ workflowType: 'verify', args: [{ ...nightly, everyDays: 30 }] });
    await listed([id, `${id}/drill`, `${id}/verify`]);
    expect(brief(await apply({ nightly: weekdays }))).toEqual([
      `same ${id}`,
      `delete ${id}/drill`,
      `delete ${id}/verify`,
    ]);
  });

  test('without not-after a missed start is made up for within an hour', async () => {
    await apply({ nightly: '{ days: sun, at: "23:30", pause-on-failure: true }' });
    expect((await described()).policies).toMatchObject({ catchupWindow: 3_600_000, pauseOnFailure: true });
  });

  test('changes what the file says otherwise now, and shows the difference', async () => {
    await apply({ nightly: weekdays });
    const file = {
      nightly:
        '{ days: mon-sat, at: "21:00", not-after: "21:30", not-on: ["2026-12-24"], pause-on-failure: true }',
    };
    const [change] = await apply(file, { dryRun: true });
    expect(change).toEqual({
      ...{ ...nightly, id, change: 'change', changedByHand: false, paused: null },
      differences: [
        { what: 'start', found: ['mon-fri 20:00'], wanted: ['mon-sat 21:00'] },
        { what: 'not on', found: [], wanted: ['2026-12-24'] },
        { what: 'catch-up window', found: ['5400000 ms'], wanted: ['1800000 ms'] },
        { what: 'pause on failure', found: ['no'], wanted: ['yes'] },
      ],
    });
    expect(brief(await apply({ nightly: weekdays }))).toEqual([`same ${id}`]);
    await apply(file);
    expect(brief(await apply(file))).toEqual([`same ${id}`]);
  });

  test('deletes what is in no file any more, and a site that is not there only when told', async () => {
    await apply({ nightly: weekdays, weekly: weekdays });
    await applySchedules(temporal.link, [siteWith({ nightly: weekdays }, { site: 'other' })]);
    await listed([id, 'coldbackup/times/weekly', 'coldbackup/other/nightly']);

    expect(brief(await apply({ nightly: weekdays, weekly: null }, { dryRun: true }))).toEqual([
      'other-site coldbackup/other/nightly',
      `same ${id}`,
      'delete coldbackup/times/weekly',
    ]);
    await apply({ nightly: weekdays });
    await listed([id, 'coldbackup/other/nightly']);
    await apply({ nightly: weekdays }, { prune: true });
    await listed([id]);
  });

  test('never touches what somebody else made, not even under an id of ours', async () => {
    const action = { type: 'startWorkflow', workflowType: 'theirs', taskQueue: 'theirs' } as const;
    const spec = { intervals: [{ every: '30 days' as const }] };
    for (const scheduleId of [id, 'coldbackup/times/gone', 'theirs'])
      await schedules().create({ scheduleId, spec, action });
    await listed([id, 'coldbackup/times/gone', 'theirs']);
    expect(brief(await apply({ nightly: weekdays }, { prune: true }))).toEqual([`not-ours ${id}`]);
    expect((await described()).action.workflowType).toBe('theirs');
    await listed([id, 'coldbackup/times/gone', 'theirs']);
    expect(await listSchedules(temporal.link)).toEqual([]);
  });
});

describe('a change by hand', () => {
  test.each([
    [
      'its time',
      { spec: { calendars: [{ hour: 7, dayOfWeek: 'SUNDAY' as const }], timezone: 'Europe/Paris' } },
      'start',
    ],
    ['its catch-up window', { policies: { catchupWindow: '1 year' as const } }, 'catch-up window'],
    ['its overlap', { policies: { overlap: ScheduleOverlapPolicy.ALLOW_ALL } }, 'when it runs still'],
    ['a run timeout', { action: { workflowRunTimeout: 60_000 } }, 'run timeout'],
    ['its input', { action: { args: [{ site: 'times', procedure: 'weekly' }] } }, 'input'],
    ['a limit of starts', { state: { remainingActions: 3 } }, 'remaining starts'],
  ])('of %s is shown as one, and is undone by apply', async (_, change, what) => {
    await apply({ nightly: weekdays });
    await schedules()
      .getHandle(id)
      .update(({ spec, action, policies, state }) => ({
        spec,
        state,
        policies: { ...policies, ...('policies' in change && change.policies) },
        ...('spec' in change && { spec: change.spec }),
        ...('state' in change && { state: { ...state, ...change.state } }),
        action: { ...action, ...('action' in change && change.action) },
      }));
    await listed([id]);
    expect(await listSchedules(temporal.link)).toMatchObject([{ id, changedByHand: true }]);
    const [found] = await apply({ nightly: weekdays }, { dryRun: true });
    expect(found).toMatchObject({ change: 'change', changedByHand: true });
    expect(found?.differences.map((difference) => difference.what)).toContain(what);

    await apply({ nightly: weekdays });
    expect(brief(await apply({ nightly: weekdays }))).toEqual([`same ${id}`]);
    expect(await listSchedules(temporal.link)).toMatchObject([{ changedByHand: false }]);
  });

  test('of the same meaning in other words is none', async () => {
    await apply({ nightly: weekdays });
    await schedules()
      .getHandle(id)
      .update(({ spec, ...rest }) => ({
        ...rest,
        spec: { ...spec, calendars: [], cronExpressions: ['0 20 * * 1-5'] },
        action: rest.action,
      }));
    expect(brief(await apply({ nightly: weekdays }))).toEqual([`same ${id}`]);
  });
});

describe('pause and resume', () => {
  test('are an operator’s decision: who and why are shown, and apply leaves it', async () => {
    await apply({ nightly: weekdays });
    await listed([id]);
    await pauseSchedule(temporal.link, nightly, { by: 'ada', why: 'storage moves' });
    expect(await listSchedules(temporal.link)).toMatchObject([
      { paused: 'storage moves (ada)', changedByHand: false },
    ]);
    const [change] = await apply({ nightly: '{ days: sun, at: "20:00" }' });
    expect(change).toMatchObject({ change: 'change', paused: 'storage moves (ada)', changedByHand: false });
    expect((await described()).state).toMatchObject({ paused: true, note: 'storage moves (ada)' });

    await resumeSchedule(temporal.link, nightly, { by: 'ada' });
    expect(await listSchedules(temporal.link)).toMatchObject([{ paused: null, starts: ['sun 20:00'] }]);
  });

  test('that cannot be are refused with the reason', async () => {
    await apply({ nightly: weekdays });
    await listed([id]);
    await expect(resumeSchedule(temporal.link, nightly, { by: 'ada' })).rejects.toThrow(RefusedError);
    await expect(pauseSchedule(temporal.link, nightly, { by: 'ada', why: ' ' })).rejects.toThrow(/why/);
    await pauseSchedule(temporal.link, nightly, { by: 'ada', why: 'storage moves' });
    await expect(pauseSchedule(temporal.link, nightly, { by: 'bob', why: 'x' })).rejects.toThrow(
      /paused already: storage moves \(ada\)/,
    );
    const gone = pauseSchedule(temporal.link, { ...nightly, procedure: 'nigtly' }, { by: 'a', why: 'b' });
    await expect(gone).rejects.toThrow(NoSuchScheduleError);
    await expect(gone).rejects.toThrow(/there are: times\/nightly/);
  });
});

describe('the screens', () => {
  test('tell what a dry run found, each side on a line of its own', async () => {
    await apply({ nightly: weekdays });
    await pauseSchedule(temporal.link, nightly, { by: 'ada', why: 'storage moves' });
    const changes = await apply(
      { nightly: '{ days: mon-fri, at: "20:30", not-after: "22:00" }' },
      { dryRun: true },
    );
    expect(scheduleChangesScreen(changes, true)).toBe(
      [
        '~ coldbackup/times/nightly  to be changed; paused: storage moves (ada)',
        '    - start: mon-fri 20:00',
        '    + start: mon-fri 20:30',
        '1 to change, 0 schedules as the files say',
      ].join('\n'),
    );
  });

  test('list what starts when', async () => {
    await apply({ nightly: '{ days: mon-sun, at: "20:00" }' });
    await listed([id]);
    const now = new Date().toISOString();
    expect(schedulesScreen(await listSchedules(temporal.link), now)).toMatch(
      /^schedule +starts +next +last +state\ntimes\/nightly +daily 20:00 Europe\/Paris +(\d+ \w+ )?20:00 +- +active$/,
    );
  });
});

function brief(changes: readonly ScheduleChange[]): readonly string[] {
  return changes.map(({ change, id: of }) => `${change} ${of}`);
}
