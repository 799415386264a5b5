import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readFileSync, writeFileSync } from 'node:fs';
import { openLink, type Link } from '../../client/link.ts';
import { reportOf, type RunRef } from '../../client/reports.ts';
import { startAll, type Running } from '../cli/coldbackup.ts';
import { createMiniSite, type MiniSite } from '../cli/mini-site.ts';
import { createCleanup, waitFor } from '../support/processes.ts';

/** Schedules, control, agents and services as processes of their own. */
const cleanup = createCleanup();
const minuteMs = 60_000;
const startedAt = Date.now();
/** The window of tonight began half an hour ago, that of the night that was missed ended four hours ago. */
const tonight = startedAt - 30 * minuteMs;
const missed = startedAt - 300 * minuteMs;

let site: MiniSite;
let all: Running;
let link: Link;

beforeAll(async () => {
  site = await createMiniSite(cleanup);
  const text = readFileSync(site.file, 'utf8');
  writeFileSync(site.file, `${text}${procedures()}`);
  all = await startAll(cleanup, site);
  link = await openLink({ address: all.server.address });
  cleanup.add(() => link.client.connection.close());
  expect(await all.coldbackup('schedule', 'apply', site.sites)).toMatchObject({ code: 0 });
});
afterAll(cleanup.run);

describe('which night is it', () => {
  test('a run that its schedule starts late belongs to the night it was scheduled for, and only once', async () => {
    const run = await backfill('late', tonight);
    const report = await reportOf(link, run);
    expect(report).toMatchObject({ outcome: 'complete', night: dateOf(tonight) });
    const again = await all.coldbackup('run', 'mini', 'late', '--wait', '--json');
    expect(again.code).toBe(3);
    expect(JSON.parse(again.stdout)).toMatchObject({ outcome: 'already-ran', night: dateOf(tonight) });
    const oneMore = await all.coldbackup('run', 'mini', 'late', '--again', '--wait', '--json');
    expect(JSON.parse(oneMore.stdout)).toMatchObject({ outcome: 'complete', night: dateOf(tonight) });
  });

  test('a trigger within the window starts tonight’s run, as the schedule would', async () => {
    const said = await all.coldbackup('schedule', 'trigger', 'mini', 'triggered', '--wait', '--json');
    expect(said).toMatchObject({ code: 0 });
    expect(JSON.parse(said.stdout)).toMatchObject({ outcome: 'complete', night: dateOf(tonight) });
    const twice = await all.coldbackup('schedule', 'trigger', 'mini', 'triggered', '--wait');
    expect(twice).toMatchObject({ code: 3 });
    expect(twice.stdout).toContain('already ran for the night of');
  });

  test('a night that was missed by hours changes nothing, and pauses its schedule where that is wanted', async () => {
    const before = await site.services();
    const report = await reportOf(link, await backfill('missed', missed));
    expect(report).toMatchObject({ outcome: 'no-go', night: dateOf(missed), services: [] });
    expect(report.reason).toMatch(/too late for the night of .*--up-by/);
    expect(await site.services()).toEqual(before);
    await waitFor(async () => (await all.coldbackup('schedule', 'list')).stdout.includes('paused: '), {
      what: 'the schedule is paused',
      withinMs: 20_000,
    });
  });

  test('a trigger outside the window is refused, with what to do', async () => {
    const said = await all.coldbackup('schedule', 'trigger', 'mini', 'missed');
    expect(said).toMatchObject({ code: 3 });
    expect(said.stderr).toContain('coldbackup run mini missed --up-by HH:MM');
  });

  test('a run by hand with --up-by is that of the last night, and takes nothing from the next', async () => {
    const upBy = new Date(startedAt + 300 * minuteMs).toISOString();
    const said = await all.coldbackup('run', 'mini', 'missed', '--up-by', upBy, '--wait', '--json');
    expect(JSON.parse(said.stdout)).toMatchObject({ outcome: 'complete', night: dateOf(missed) });
  });
});

describe('coldbackup schedule', () => {
  test('shows a dry run of a changed file with exit code 3, and refuses a file with mistakes', async () => {
    const folder = await cleanup.folder();
    const text = readFileSync(site.file, 'utf8');
    writeFileSync(
      `${folder}/mini.yaml`,
      text.replace('  late:\n    start: { days: mon-sun', '  late:\n    start: { days: sun'),
    );
    const dry = await all.coldbackup('schedule', 'apply', folder, '--dry-run');
    expect(dry).toMatchObject({ code: 3 });
    expect(dry.stdout).toMatch(
      /~ coldbackup\/mini\/late {2}to be changed\n {4}- start: daily .*\n {4}\+ start: sun /,
    );

    writeFileSync(`${folder}/mini.yaml`, text.replace('timezone: UTC', 'timezone: Utopia'));
    const wrong = await all.coldbackup('schedule', 'apply', folder);
    expect(wrong).toMatchObject({ code: 2 });
    expect(wrong.stderr).toContain('Utopia');
    expect((await all.coldbackup('schedule', 'apply', site.sites, '--dry-run')).code).toBe(0);
  });

  test('names the schedules that there are', async () => {
    const said = await all.coldbackup('schedule', 'pause', 'mini', 'lat', '--why', 'x');
    expect(said).toMatchObject({ code: 2 });
    expect(said.stderr).toContain('mini/late');
  });
});

/** As the server makes up for a start that it missed. */
async function backfill(procedure: string, atMs: number): Promise<RunRef> {
  const handle = link.client.schedule.getHandle(`coldbackup/mini/${procedure}`);
  const at = Math.floor(atMs / minuteMs) * minuteMs;
  await handle.backfill({ start: new Date(at - 1000), end: new Date(at + 1000) });
  return waitFor(
    async () => {
      const run = (await handle.describe()).info.recentActions.at(-1)?.action.workflow;
      return run && { workflowId: run.workflowId, runId: run.firstExecutionRunId };
    },
    { what: `a run of ${procedure}`, withinMs: 20_000 },
  );
}

function procedures(): string {
  const clock = (ms: number) => new Date(ms).toISOString().slice(11, 16);
  const procedure = (name: string, at: number, notAfter: number, more = '') => `  ${name}:
    start: { days: mon-sun, at: "${clock(at)}", not-after: "${clock(notAfter)}"${more} }
    up-by: "${clock(startedAt + 600 * minuteMs)}"
    steps:
      - stop: [web]
`;
  return [
    procedure('late', tonight, startedAt + 60 * minuteMs),
    procedure('triggered', tonight, startedAt + 60 * minuteMs),
    procedure('missed', missed, missed + 60 * minuteMs, ', pause-on-failure: true'),
  ].join('');
}

function dateOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
