import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Temporal } from 'temporal-polyfill';
import { applySchedules } from '../../client/schedule-apply.ts';
import { startsBetween } from '../../client/schedules.ts';
import { siteWith, startServer, type Server } from './site.ts';

/** What the server itself says of a schedule: ListScheduleMatchingTimes. */
let temporal: Server;
beforeAll(async () => {
  temporal = await startServer();
});
afterAll(() => temporal.close());

/** The instants at which each start of a site comes from one local date to another, both included. */
async function startsOfAll(
  starts: Readonly<Record<string, string>>,
  [from, to]: readonly [string, string],
  timezone = 'Europe/Paris',
): Promise<Readonly<Record<string, readonly string[]>>> {
  await applySchedules(temporal.link, [siteWith(starts, { timezone })]);
  const ends = [
    startOfDay(from, timezone),
    startOfDay(Temporal.PlainDate.from(to).add({ days: 1 }).toString(), timezone) - 1000,
  ] as const;
  const found = Object.keys(starts).map(
    async (name) => [name, await startsBetween(temporal.link, `coldbackup/times/${name}`, ...ends)] as const,
  );
  return Object.fromEntries(await Promise.all(found));
}

async function starts(start: string, from: string, to: string): Promise<readonly string[] | undefined> {
  return (await startsOfAll({ nightly: start }, [from, to]))['nightly'];
}

function startOfDay(date: string, timezone: string): number {
  return Temporal.PlainDate.from(date).toZonedDateTime(timezone).epochMilliseconds;
}

describe('a night starts exactly once where the clocks change', () => {
  test.each([
    ['00:30', ['2027-03-26T23:30:00', '2027-03-27T23:30:01', '2027-03-28T22:30:00']],
    ['01:30', ['2027-03-27T00:30:00', '2027-03-28T00:30:01', '2027-03-28T23:30:00']],
    ['02:30', ['2027-03-27T01:30:00', '2027-03-28T01:30:01', '2027-03-29T00:30:00']],
    ['03:00', ['2027-03-27T02:00:00', '2027-03-28T01:00:01', '2027-03-29T01:00:00']],
    ['20:00', ['2027-03-27T19:00:00', '2027-03-28T18:00:00', '2027-03-29T18:00:00']],
  ])('at %s in Paris, over 28 March 2027, which has no 02:30', async (at, expected) => {
    const found = await starts(`{ days: mon-sun, at: "${at}" }`, '2027-03-27', '2027-03-29');
    expect(found).toEqual(expected.map((instant) => `${instant}.000Z`));
  });

  test.each([
    ['00:30', ['2027-10-29T22:30:00', '2027-10-30T22:30:01', '2027-10-31T23:30:00']],
    ['01:30', ['2027-10-29T23:30:00', '2027-10-30T23:30:01', '2027-11-01T00:30:00']],
    ['02:30', ['2027-10-30T00:30:00', '2027-10-31T00:30:01', '2027-11-01T01:30:00']],
    ['03:00', ['2027-10-30T01:00:00', '2027-10-31T02:00:01', '2027-11-01T02:00:00']],
    ['20:00', ['2027-10-30T18:00:00', '2027-10-31T19:00:00', '2027-11-01T19:00:00']],
  ])('at %s in Paris, over 31 October 2027, which has 02:30 twice', async (at, expected) => {
    const found = await starts(`{ days: mon-sun, at: "${at}" }`, '2027-10-30', '2027-11-01');
    expect(found).toEqual(expected.map((instant) => `${instant}.000Z`));
  });

  test('only on the days of the schedule, and not on its exceptions', async () => {
    const start = '{ days: [sat, mon], at: "02:30", not-on: ["2027-10-30"] }';
    expect(await starts(start, '2027-10-29', '2027-11-02')).toEqual(['2027-11-01T01:30:00.000Z']);
    const excepted = '{ days: sun, at: "02:30", not-on: ["2027-10-31"] }';
    expect(await starts(excepted, '2027-10-20', '2027-11-08')).toEqual([
      '2027-10-24T00:30:00.000Z',
      '2027-11-07T01:30:00.000Z',
    ]);
  });

  test('also in the last second of a minute', async () => {
    const found = await starts('{ days: mon-sun, at: "02:59:59" }', '2027-10-31', '2027-10-31');
    expect(found).toEqual(['2027-10-31T01:00:00.000Z']);
  });
});

/** Changes at two, at midnight forwards and backwards, by half an hour, at a quarter to. */
const zones = [
  ...['Europe/Paris', 'America/New_York', 'America/Santiago', 'America/Havana', 'Australia/Lord_Howe'],
  'Pacific/Chatham',
];
const times = ['00:00', '00:30', '01:30', '01:59:59', '02:30', '23:30'];

describe('over a whole year', () => {
  test.each(zones)('every night of %s starts once, at the time on the wall', async (timezone) => {
    const all = Object.fromEntries(
      times.map((at, index) => [`at-${index}`, `{ days: mon-sun, at: "${at}" }`]),
    );
    const found = await startsOfAll(all, ['2027-01-01', '2027-12-31'], timezone);
    times.forEach((at, index) => {
      const instants = found[`at-${index}`] ?? [];
      const late = nights(at, timezone).map((ms, day) => Date.parse(instants[day] ?? '') - ms);
      expect({ at, many: instants.length, late: late.filter((ms) => ms !== 0 && ms !== 1000) }).toEqual({
        at,
        many: 365,
        late: [],
      });
    });
  });
});

/** As java.time and RFC 5545 have it; the server may be a second late, where it starts at an instant. */
function nights(at: string, timezone: string): readonly number[] {
  const first = Temporal.PlainDate.from('2027-01-01');
  return Array.from({ length: 365 }, (_, days) => {
    const local = first.add({ days }).toPlainDateTime(at);
    return local.toZonedDateTime(timezone).epochMilliseconds;
  });
}

describe('a calendar of the server alone', () => {
  test.each([
    ['02:30', '2027-03-28', []],
    ['01:30', '2027-10-31', ['2027-10-30T23:30:00.000Z', '2027-10-31T00:30:00.000Z']],
  ])('at %s is wrong on %s, which is why the times are written out', async (at, date, expected) => {
    const scheduleId = `plain-${at.replace(':', '')}`;
    const [hour = 0, minute = 0] = at.split(':').map(Number);
    await temporal.link.client.schedule.create({
      scheduleId,
      spec: { calendars: [{ hour, minute }], timezone: 'Europe/Paris' },
      action: { type: 'startWorkflow', workflowType: 'none', taskQueue: 'none' },
    });
    const from = startOfDay(date, 'Europe/Paris');
    expect(await startsBetween(temporal.link, scheduleId, from, from + 86_400_000)).toEqual(expected);
  });
});
