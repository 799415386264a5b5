import { afterAll, expect, test } from '@jest/globals';
import { join } from 'node:path';
import { applySchedules } from '../../client/schedule-apply.ts';
import { listSchedules } from '../../client/schedules.ts';
import { openLink } from '../../client/link.ts';
import { createCleanup, waitFor } from '../support/processes.ts';
import { startDevServer } from '../support/temporal.ts';
import { siteWith } from './site.ts';

const cleanup = createCleanup();
afterAll(cleanup.run);

test('a night that was missed starts late until not-after, and not at all after it', async () => {
  const server = await startDevServer({ dbFile: join(await cleanup.folder(), 'temporal.db') });
  cleanup.add(() => server.stop());
  const startsAt = Date.now() + 15_000;
  const clock = (ms: number) => new Date(ms).toISOString().slice(11, 19);
  const until = (ms: number) => `{ days: mon-sun, at: "${clock(startsAt)}", not-after: "${clock(ms)}" }`;
  const site = siteWith(
    { missed: until(startsAt + 11_000), late: until(startsAt + 3_600_000) },
    { timezone: 'UTC', upBy: clock(startsAt + 6 * 3_600_000) },
  );
  let link = await openLink({ address: server.address });
  await applySchedules(link, [site]);
  await waitFor(async () => (await listSchedules(link)).filter(({ next }) => next !== null).length === 2, {
    what: 'the server has both schedules',
    withinMs: 20_000,
  });
  expect(Date.now()).toBeLessThan(startsAt);
  await link.client.connection.close();
  await server.kill('SIGKILL');
  await waitFor(() => Date.now() > startsAt + 12_000, { what: 'not-after is past', withinMs: 60_000 });
  await server.restart();

  link = await openLink({ address: server.address });
  cleanup.add(() => link.client.connection.close());
  await waitFor(
    async () => (await listSchedules(link)).every(({ missed, last }) => missed > 0 || last !== null),
    {
      what: 'the server has made up its mind about both',
      withinMs: 90_000,
    },
  );
  const scheduledAt = new Date(startsAt - (startsAt % 1000)).toISOString();
  expect(await listSchedules(link)).toMatchObject([
    { procedure: 'late', missed: 0, last: { scheduledAt } },
    { procedure: 'missed', missed: 1, last: null },
  ]);
}, 240_000);
