import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readFileSync, rmSync } from 'node:fs';
import { createDriver } from '../../activities/services/drivers.ts';
import type { ServiceDriver } from '../../activities/services/driver.ts';
import { waitUntilReady } from '../../activities/services/readiness.ts';
import { startUserManager } from '../support/systemd.ts';
import type { UserManager } from '../support/systemd.ts';
import { describeDriver, programOf, until } from './conformance.ts';
import type { Behaviour, DriverRig } from './conformance.ts';

describeDriver('systemd', async (): Promise<DriverRig> => {
  const manager = await startUserManager();
  return {
    async create(name, behaviour) {
      manager.writeUnit(`${name}.service`, unitText(behaviour));
      await manager.reload();
      return driverOf(manager, `${name}.service`);
    },
    startByHand: (name) => manager.systemctl('start', `${name}.service`),
    processes: (name) => processesOf(manager, `${name}.service`),
    stop: () => manager.stop(),
  };
});

describe('the driver systemd, beyond what every driver does', () => {
  let manager: UserManager;
  beforeAll(async () => {
    manager = await startUserManager();
  });
  afterAll(() => manager.stop());

  async function unit(name: string, text: string): Promise<ServiceDriver> {
    manager.writeUnit(name, text);
    await manager.reload();
    return driverOf(manager, name);
  }

  async function isActive(name: string): Promise<boolean> {
    return (await manager.systemctl('is-active', name)).exitCode === 0;
  }

  test('a timer and a socket that trigger it go down with it, cannot start it, and come back', async () => {
    manager.writeUnit('fed.timer', '[Timer]\nOnActiveSec=1ms\nOnUnitInactiveSec=50ms\nAccuracySec=1ms\n');
    manager.writeUnit('fed.socket', `[Socket]\nListenStream=${manager.folder}/fed.sock\n`);
    const driver = await unit('fed.service', unitText());
    await manager.systemctl('start', 'fed.socket');
    await manager.systemctl('start', 'fed.timer');
    const found = await until(driver, 'running');
    expect([...found.triggers].sort()).toEqual(['fed.socket', 'fed.timer']);
    expect(await driver.startedBy()).toEqual(
      expect.arrayContaining(['fed.timer (active)', 'fed.socket (active)']),
    );

    await driver.holdDown('the test');
    await driver.stop({ withinMs: 10_000 });
    expect(await isActive('fed.timer')).toBe(false);
    expect(await isActive('fed.socket')).toBe(false);
    // Even when somebody starts the triggers again.
    await manager.systemctl('start', 'fed.timer', 'fed.socket');
    await manager.systemctl('start', 'fed.service');
    const down = await driver.observe();
    expect(down).toMatchObject({ state: 'stopped', instance: found.instance });
    await manager.systemctl('stop', 'fed.timer', 'fed.socket');

    await driver.letGo();
    await driver.start({ also: found.dragged });
    await until(driver, 'running');
    expect(await isActive('fed.timer')).toBe(true);
    expect(await isActive('fed.socket')).toBe(true);
  });

  test('a service found stopped has its waiting socket back when it is let go', async () => {
    manager.writeUnit('idle-fed.socket', `[Socket]\nListenStream=${manager.folder}/idle.sock\n`);
    const driver = await unit('idle-fed.service', unitText());
    await manager.systemctl('start', 'idle-fed.socket');
    await driver.holdDown('the test');
    await driver.stop({ withinMs: 10_000 });
    expect(await isActive('idle-fed.socket')).toBe(false);
    await driver.letGo();
    expect(await isActive('idle-fed.socket')).toBe(true);
    expect((await driver.observe()).state).toBe('stopped');
  });

  test('units that a stop drags along are seen before, also through others, and come back', async () => {
    const driver = await unit('base.service', unitText());
    manager.writeUnit('needs.service', `[Unit]\nRequires=base.service\nAfter=base.service\n${unitText()}`);
    manager.writeUnit('bound.service', `[Unit]\nBindsTo=needs.service\nAfter=needs.service\n${unitText()}`);
    manager.writeUnit('part.service', `[Unit]\nPartOf=base.service\n${unitText()}`);
    manager.writeUnit('idle.service', `[Unit]\nRequires=base.service\n${unitText()}`);
    await manager.systemctl('daemon-reload');
    const others = ['bound.service', 'needs.service', 'part.service'];
    await manager.systemctl('start', 'base.service', ...others, 'idle.service');
    await manager.systemctl('stop', 'idle.service');

    const found = await until(driver, 'running');
    expect([...found.dragged].sort()).toEqual(others);
    await driver.holdDown('the test');
    await driver.stop({ withinMs: 10_000 });
    for (const other of others) expect(await isActive(other)).toBe(false);

    await driver.letGo();
    await driver.start({ also: found.dragged });
    for (const other of others) expect(await isActive(other)).toBe(true);
    expect(await isActive('idle.service')).toBe(false);
  });

  test('a unit that needs a held one is refused, and a dragged one that is still held is left', async () => {
    const driver = await unit('held.service', unitText());
    const other = await unit(
      'other.service',
      `[Unit]\nRequires=held.service\nAfter=held.service\n${unitText()}`,
    );
    await manager.systemctl('start', 'other.service');
    const found = await until(driver, 'running');
    await other.holdDown('the test');
    await driver.holdDown('the test');
    await driver.stop({ withinMs: 10_000 });
    await until(other, 'stopped');

    await driver.letGo();
    await driver.start({ also: found.dragged });
    expect((await driver.observe()).state).toBe('running');
    expect((await other.observe()).state).toBe('stopped');

    await driver.stop({ withinMs: 10_000 });
    await driver.holdDown('the test');
    await other.letGo();
    expect((await manager.systemctl('start', 'other.service')).said).toContain('held-down-by-coldbackup');
    expect((await driver.observe()).state).toBe('stopped');
    await driver.letGo();
  });

  test('the hold survives daemon-reload, and refuses a start that ignores dependencies', async () => {
    const driver = await unit('firm.service', unitText());
    await driver.holdDown('vitam/nightly');
    await manager.systemctl('daemon-reload');
    expect((await manager.systemctl('restart', 'firm.service')).exitCode).not.toBe(0);
    expect(
      (await manager.systemctl('start', '--job-mode=ignore-dependencies', 'firm.service')).exitCode,
    ).not.toBe(0);
    expect((await manager.systemctl('list-units', 'coldbackup*')).said).toContain(
      'coldbackup holds firm.service down for vitam/nightly - to lift it, run: coldbackup recover',
    );
    const file = dropInOf(manager, 'firm.service');
    expect(readFileSync(file, 'utf8')).toContain('coldbackup recover');
    await driver.letGo();
    expect(() => readFileSync(file)).toThrow();
    expect((await manager.systemctl('list-units', '--all', 'coldbackup*')).said).toContain('0 loaded units');
  });

  test('letting go reloads also when only the reload was missing', async () => {
    const driver = await unit('late.service', unitText());
    await driver.holdDown('the test');
    rmSync(dropInOf(manager, 'late.service'));
    expect((await manager.systemctl('start', 'late.service')).exitCode).not.toBe(0);
    await driver.letGo();
    expect((await manager.systemctl('start', 'late.service')).exitCode).toBe(0);
  });

  test('a unit killed by the stop timeout of systemd did not exit cleanly', async () => {
    const driver = await unit(
      'killed.service',
      unitText({ main: `trap '' TERM; while :; do sleep 0.1; done` }),
    );
    await manager.systemctl('start', 'killed.service');
    await until(driver, 'running');
    await driver.holdDown('the test');
    expect((await driver.stop({ withinMs: 20_000 })).exitStatus).toBe(137);
    await driver.letGo();
  });

  test('the stop timeout is read from the unit', async () => {
    const timeout = (value: string): string => `${unitText()}TimeoutStopSec=${value}\n`;
    expect(await (await unit('t1.service', timeout('95s'))).stopTimeoutMs()).toBe(95_000);
    expect(await (await unit('t2.service', timeout('1h 2ms'))).stopTimeoutMs()).toBe(3_600_002);
    expect(await (await unit('t3.service', timeout('infinity'))).stopTimeoutMs()).toBe(Infinity);
  });

  test('a unit that does not exist is unknown, and says so', async () => {
    expect(await driverOf(manager, 'no-such.service').observe()).toMatchObject({
      state: 'unknown',
      detail: expect.stringContaining('not-found'),
    });
  });

  test('a start that fails tells the result and where the log is', async () => {
    const driver = await unit('broken.service', '[Service]\nType=oneshot\nExecStart=/bin/sh -c "exit 9"\n');
    await expect(driver.start()).rejects.toThrow(
      /broken.service did not start: .*failed .*exit-code, exit status 9.*journalctl --user -u broken.service/s,
    );
    // Nor does a start limit stand in the way of the next attempt.
    for (let attempt = 0; attempt < 7; attempt++) {
      await expect(driver.start()).rejects.toThrow(/exit status 9/);
    }
  });

  test('a service that systemd restarts by itself is waited for', async () => {
    const flag = `${manager.folder}/second`;
    const main = `[ -e ${flag} ] || { touch ${flag}; exit 1; }; trap 'exit 0' TERM; while :; do sleep 0.1; done`;
    const driver = await unit(
      'flapping.service',
      `${unitText({ main })}Restart=on-failure\nRestartSec=300ms\n`,
    );
    await driver.start();
    const ready = { kind: 'command', command: ['test', '-e', flag] } as const;
    await waitUntilReady({ ready }, driver, { withinMs: 10_000 });
    await until(driver, 'running');
  });
});

function driverOf(manager: UserManager, unit: string): ServiceDriver {
  return createDriver({ driver: { kind: 'systemd', unit, manager: 'user' } }, manager.options);
}

function dropInOf(manager: UserManager, unit: string): string {
  return `${manager.options.xdgRuntimeDir}/systemd/user/${unit}.d/50-coldbackup.conf`;
}

function unitText(behaviour: Behaviour = {}): string {
  // Nobody but the driver waits for what KillMode=process leaves.
  const killMode = behaviour.lingers === true ? 'KillMode=process\n' : '';
  return `[Service]\nExecStart=/bin/sh -c "${programOf(behaviour).replaceAll('$', '$$$$')}"\nTimeoutStopSec=2s\n${killMode}`;
}

async function processesOf(manager: UserManager, unit: string): Promise<readonly number[]> {
  const { said } = await manager.systemctl('show', '--property=ControlGroup', '--value', unit);
  const group = said.trim();
  if (group === '') return [];
  for (const mount of ['/sys/fs/cgroup', '/sys/fs/cgroup/unified', '/sys/fs/cgroup/systemd']) {
    try {
      return readFileSync(`${mount}${group}/cgroup.procs`, 'utf8').split('\n').filter(Boolean).map(Number);
    } catch {
      // The next mount.
    }
  }
  return [];
}
