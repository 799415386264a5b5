import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createDriver } from '../../activities/services/drivers.ts';
import {
  defineUnit,
  instanceOf,
  isRunning,
  killUnit,
  servicectl,
  startUnit,
  type Unit,
} from '../../demo/services/supervised.ts';
import { startProcess, waitFor, type Started } from '../support/processes.ts';

const root = mkdtempSync(join(tmpdir(), 'coldbackup-servicectl-'));
const units: Unit[] = [];
const alive = join(root, 'alive');
let unit: Unit;
let owner: Started;
let count = 0;

beforeEach(async () => {
  owner = await startProcess([
    'flock',
    '--no-fork',
    alive,
    'sh',
    '-c',
    `echo > ${root}/owned; exec sleep 60`,
  ]);
  await waitFor(() => existsSync(join(root, 'owned')), { what: 'the lock', withinMs: 5_000 });
  unit = define('trap "exit 0" TERM; while :; do sleep 0.05; done');
});

afterEach(async () => {
  await Promise.all(units.map(killUnit));
  await owner.stop();
  rmSync(join(root, 'owned'));
});

afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

describe('the service manager of the demo', () => {
  test('gives each start another instance, and the exit status of the last run', async () => {
    const driver = driverOf(unit);
    expect(await driver.observe()).toMatchObject({ state: 'stopped', instance: '0', lastExit: null });
    await driver.start();
    await driver.start();
    expect(await driver.observe()).toMatchObject({ state: 'running', instance: '1' });
    await untilUp(unit);
    expect(await driver.stop({ withinMs: 5_000 })).toMatchObject({ exitStatus: 0, instance: '1' });
    await driver.start();
    expect(await driver.observe()).toMatchObject({ state: 'running', instance: '2' });
  });

  test('refuses to start what is held down, and says by whom and what lifts it', async () => {
    const driver = driverOf(unit);
    await driver.holdDown('coldbackup, vitam/nightly');
    await expect(startUnit(unit)).rejects.toThrow(/held down by coldbackup, vitam\/nightly.*let-go/s);
    expect(isRunning(unit)).toBe(false);
    await driver.letGo();
    await driver.letGo();
    await startUnit(unit);
    expect(isRunning(unit)).toBe(true);
  });

  test('calls a service that ended with an error failed, with its status', async () => {
    const failing = define('exit 7');
    await startUnit(failing);
    await waitFor(() => !isRunning(failing), { what: 'the end', withinMs: 5_000 });
    expect(await driverOf(failing).observe()).toMatchObject({ state: 'failed', lastExit: 7 });
  });

  test('starts once when two ask at the same time', async () => {
    await Promise.all([startUnit(unit), startUnit(unit), startUnit(unit)]);
    expect(instanceOf(unit)).toBe(1);
  });

  test('kills the service as soon as the owner of the machine is gone, even by SIGKILL', async () => {
    await startUnit(unit);
    expect(isRunning(unit)).toBe(true);
    owner.kill('SIGKILL');
    await waitFor(() => !isRunning(unit), { what: 'the service to go with its owner', withinMs: 5_000 });
  });
});

function define(script: string): Unit {
  const defined = defineUnit(join(root, `unit-${(count += 1)}`), ['sh', '-c', `echo up; ${script}`], alive);
  units.push(defined);
  return defined;
}

/** Its trap is set once it has said so. */
async function untilUp({ folder }: Unit): Promise<void> {
  await waitFor(() => existsSync(join(folder, 'pid')), { what: 'the program', withinMs: 5_000 });
}

function driverOf({ folder }: Unit) {
  return createDriver({
    driver: {
      kind: 'command',
      start: [servicectl, 'start', folder],
      stop: [servicectl, 'stop', folder],
      status: [servicectl, 'status', folder],
      instance: [servicectl, 'instance', folder],
      lastExit: [servicectl, 'last-exit', folder],
      holdDown: [servicectl, 'hold-down', folder],
      letGo: [servicectl, 'let-go', folder],
    },
  });
}
