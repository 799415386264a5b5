import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from '@jest/globals';
import { pino } from 'pino';
import type { Alert } from '../../model/watchdog.ts';
import { createAlertLog } from '../../workers/watchdog/alert-log.ts';
import { tellAlive } from '../../workers/watchdog/alive.ts';
import { watchSites } from '../../workers/watchdog/sites.ts';
import { createCleanup } from '../support/processes.ts';

const cleanup = createCleanup();
afterEach(cleanup.run);
const now = '2026-11-22T08:00:00.000Z';
const hourMs = 3_600_000;

interface Line {
  readonly level: number;
  readonly msg: string;
  readonly subject?: string;
  readonly url?: string;
}

function listening() {
  const lines: Line[] = [];
  const logger = pino({}, { write: (line: string) => lines.push(JSON.parse(line) as Line) });
  return { lines, logger };
}

async function serving(status: number): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? '');
    response.writeHead(status).end('OK');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanup.add(() => server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/secret`, asked };
}

describe('the sign of life', () => {
  test('writes the file and gets the URL', async () => {
    const { lines, logger } = listening();
    const { url, asked } = await serving(200);
    const touch = join(await cleanup.folder(), 'alive');
    await tellAlive({ touch, ping: url }, now, logger);
    expect(readFileSync(touch, 'utf8')).toBe(`${now}\n`);
    expect(asked).toEqual(['/secret']);
    expect(lines).toEqual([]);
  });

  test('what cannot be told is logged without the secret of the URL, and stops nothing', async () => {
    const { lines, logger } = listening();
    const { url } = await serving(500);
    const touch = join(await cleanup.folder(), 'no-such-folder', 'alive');
    await tellAlive({ touch, ping: url }, now, logger);
    await tellAlive({ ping: 'http://127.0.0.1:1/secret' }, now, logger);
    expect(lines.map(({ level }) => level).sort()).toEqual([40, 40, 50]);
    expect(JSON.stringify(lines)).not.toContain('secret');
    expect(existsSync(touch)).toBe(false);
  });
});

describe('an alert', () => {
  const alert: Alert = { site: 'vitam', kind: 'service', subject: 'web on app-1', text: 'stopped for 1 s' };

  test('is logged when it begins, once an hour, and when it is over, whatever its words are', () => {
    const { lines, logger } = listening();
    const tell = createAlertLog(logger);
    tell([alert], 0);
    tell([{ ...alert, text: 'stopped for 2 s' }], hourMs - 1);
    expect(lines).toHaveLength(1);
    tell([{ ...alert, text: 'stopped for an hour' }], hourMs);
    tell([], hourMs + 1);
    tell([], hourMs + 2);
    tell([alert], hourMs + 3);
    expect(lines.map(({ level, subject, msg }) => [level, subject, msg])).toEqual([
      [50, 'web on app-1', 'stopped for 1 s'],
      [50, 'web on app-1', 'stopped for an hour'],
      [30, 'web on app-1', 'over'],
      [50, 'web on app-1', 'stopped for 1 s'],
    ]);
  });
});

test('a site file that is broken while it is edited is watched on as it was, and told; one that is gone is not', async () => {
  const folder = await cleanup.folder();
  const file = join(folder, 'shop.yaml');
  const good = readFileSync('examples/vitam.yaml', 'utf8');
  writeFileSync(file, good);
  const watched = watchSites(folder);
  expect(await watched.read()).toMatchObject({ sites: [{ site: { site: 'vitam' } }], alerts: [] });
  writeFileSync(file, good.replace('timezone:', 'timezon:'));
  const broken = await watched.read();
  expect(broken.sites.map(({ site }) => site.site)).toEqual(['vitam']);
  expect(broken.alerts[0]).toMatchObject({ site: 'vitam', kind: 'site-file', subject: file });
  writeFileSync(file, good);
  expect((await watched.read()).alerts).toEqual([]);
  rmSync(file);
  expect(await watched.read()).toEqual({ sites: [], alerts: [] });
});
