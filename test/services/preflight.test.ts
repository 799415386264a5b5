import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { DEFAULT_LIMITS } from '../../config/schema/limits.ts';
import { checkService } from '../../activities/preflight/services.ts';
import type { DriverSpec, Service, Site } from '../../model/site.ts';
import { startUserManager } from '../support/systemd.ts';
import type { UserManager } from '../support/systemd.ts';

let manager: UserManager;
beforeAll(async () => {
  manager = await startUserManager();
  const main = `ExecStart=/bin/sh -c "trap 'exit 0' TERM; while :; do sleep 0.05; done"`;
  manager.writeUnit('worker.service', `[Service]\n${main}\nTimeoutStopSec=10s\n`);
  manager.writeUnit('worker.timer', '[Timer]\nOnActiveSec=1h\n');
  await manager.reload();
  await manager.systemctl('start', 'worker.service', 'worker.timer');
});
afterAll(() => manager.stop());

const unit: DriverSpec = { kind: 'systemd', unit: 'worker.service', manager: 'user' };

test('a running service is a go; its timer is listed; a stop timeout below stop-within is a warning', async () => {
  const checks = await checkService(site({ driver: unit }), 'app-1', 'worker', manager.options);
  expect(checks).toEqual([
    row('go', 'running: active (running)'),
    row('go', 'could be started by worker.timer (active): held down with it'),
    row(
      'warning',
      'systemd kills it 10 s after the stop, before stop-within (60 s) is over',
      'raise TimeoutStopSec of the unit to 60 s or more',
    ),
  ]);
});

test('a stop timeout below stop-within is a no-go for a database: its copy would be unclean', async () => {
  const checks = await checkService(site({ driver: unit }), 'app-1', 'worker', {
    ...manager.options,
    stateful: true,
  });
  expect(checks.at(-1)).toMatchObject({ verdict: 'no-go', detail: expect.stringContaining('unclean') });
});

test('a limit below three times a measured stop is a no-go for a database, and a warning for others', async () => {
  const roomy = site({ driver: command(0), stopWithinMs: 60_000 });
  const rows = async (options: object) =>
    (await checkService(roomy, 'app-1', 'worker', options)).filter(({ detail }) =>
      detail.includes('its stop took'),
    );
  expect(await rows({ stoppedMs: 20_000, stateful: true })).toEqual([]);
  expect(await rows({ stoppedMs: 20_500, stateful: true })).toEqual([
    row(
      'no-go',
      'its stop took 20.5 s in one of the last nights, and it has 60 s, less than three times that: a copy would be unclean',
      'raise stop-within, and the stop timeout of its service manager, to 62 s or more',
    ),
  ]);
  expect(await rows({ stoppedMs: 20_500 })).toMatchObject([{ verdict: 'warning' }]);
  const bySystemd = await checkService(site({ driver: unit }), 'app-1', 'worker', {
    ...manager.options,
    stoppedMs: 4_000,
  });
  expect(bySystemd.at(-1)).toMatchObject({
    verdict: 'warning',
    detail: expect.stringContaining('it has 10 s'),
  });
});

test('a service that normally runs and is found stopped is a loud warning', async () => {
  const [check] = await checkService(site({ driver: command(3) }), 'app-1', 'worker');
  expect(check).toMatchObject({ verdict: 'warning', detail: expect.stringContaining('found stopped') });
  const [expected] = await checkService(site({ driver: command(3), normally: 'stopped' }), 'app-1', 'worker');
  expect(expected).toMatchObject({ verdict: 'go' });
});

test('a state that is not understood is a no-go', async () => {
  const [check] = await checkService(site({ driver: command(4) }), 'app-1', 'worker');
  expect(check).toMatchObject({ verdict: 'no-go', detail: expect.stringContaining('unknown: ') });
  const noUnit: DriverSpec = { kind: 'systemd', unit: 'nowhere.service', manager: 'user' };
  const [missing] = await checkService(site({ driver: noUnit }), 'app-1', 'worker', manager.options);
  expect(missing).toMatchObject({ verdict: 'no-go', detail: expect.stringContaining('not-found') });
});

test('commands that are not there, or are not executable, are named', async () => {
  const driver: DriverSpec = { kind: 'command', start: ['/etc/passwd'], stop: ['no-such'], status: ['true'] };
  const checks = await checkService(site({ driver }), 'app-1', 'worker');
  expect(checks.map(({ verdict, detail }) => `${verdict} ${detail}`)).toEqual([
    'no-go ["/etc/passwd"] is not there or not executable',
    'no-go ["no-such"] is not there or not executable',
  ]);
});

test('a command service without start prevention is a warning', async () => {
  const checks = await checkService(site({ driver: command(0) }), 'app-1', 'worker');
  expect(checks.map(({ verdict }) => verdict)).toEqual(['go', 'warning']);
});

test('a service that this host does not have is a no-go', async () => {
  const [check] = await checkService(site({ driver: command(0) }), 'app-2', 'worker');
  expect(check).toMatchObject({ verdict: 'no-go' });
});

function command(statusExit: number): DriverSpec {
  return { kind: 'command', start: ['true'], stop: ['true'], status: ['sh', '-c', `exit ${statusExit}`] };
}

function row(verdict: string, detail: string, hint?: string) {
  return { host: 'app-1', subject: 'service worker', verdict, detail, ...(hint !== undefined && { hint }) };
}

function site(service: Partial<Service> & Pick<Service, 'driver'>): Site {
  return {
    site: 'vitam',
    timezone: 'Europe/Paris',
    hosts: ['app-1', 'app-2'],
    services: {
      worker: {
        hosts: ['app-1'],
        stopWithinMs: 60_000,
        readyWithinMs: 60_000,
        normally: 'running',
        ...service,
      },
    },
    jobs: {},
    counts: {},
    databases: {},
    stores: {},
    procedures: {},
    limits: DEFAULT_LIMITS,
  };
}
