import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { createDriver } from '../../activities/services/drivers.ts';
import type { ServiceDriver } from '../../activities/services/driver.ts';
import { runCommand } from '../../activities/system/command.ts';
import type { DriverSpec } from '../../model/site.ts';
import { describeDriver, kill, programOf } from './conformance.ts';
import type { DriverRig } from './conformance.ts';

type CommandSpec = Extract<DriverSpec, { kind: 'command' }>;

describeDriver('command', (): Promise<DriverRig> => {
  const folder = mkdtempSync(join(tmpdir(), 'coldbackup-services-'));
  const control = (name: string): string => join(folder, name, 'control');
  const made: string[] = [];
  const processes = async (name: string): Promise<readonly number[]> =>
    (await runCommand([control(name), 'pids'])).stdout.split('\n').filter(Boolean).map(Number);
  return Promise.resolve({
    create(name, behaviour = {}) {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, 'main'), programOf(behaviour));
      writeFileSync(control(name), controlScript);
      chmodSync(control(name), 0o755);
      made.push(name);
      return Promise.resolve(
        createDriver({
          driver: {
            kind: 'command',
            start: [control(name), 'start'],
            stop: [control(name), 'stop'],
            status: [control(name), 'status'],
            instance: [control(name), 'instance'],
            lastExit: [control(name), 'last-exit'],
            holdDown: [control(name), 'hold'],
            letGo: [control(name), 'release'],
          },
        }),
      );
    },
    async startByHand(name) {
      const { exitCode, stdout, stderr } = await runCommand([control(name), 'start'], {
        acceptExit: [0, 1],
        leavesDaemon: true,
      });
      return { exitCode, said: stdout + stderr };
    },
    processes,
    async stop() {
      for (const name of made) {
        for (const pid of await processes(name)) kill(pid);
      }
      rmSync(folder, { recursive: true, force: true });
    },
  });
});

/** A service as an init script would have it: exit codes of LSB, a child that waits for the main process. */
const controlScript = `#!/bin/sh
cd "$(dirname "$0")" || exit 4
pids() { [ -e pid ] && ps -e -o pid=,sid=,stat= | awk -v sid="$(cat pid)" '$2 == sid && $3 !~ /Z/ { print $1 }'; }
case "$1" in
  start)
    if [ -e held ]; then echo "held down by coldbackup for $(cat held); to lift it: coldbackup recover" >&2; exit 1; fi
    [ -n "$(pids)" ] && exit 0
    rm -f pid exit
    date +%s%N > instance
    (setsid sh ./main & echo $! > pid.new; mv pid.new pid; wait $!; echo $? > exit.new; mv exit.new exit) > log 2>&1 &
    while [ ! -e pid ]; do sleep 0.01; done ;;
  stop) [ -n "$(pids)" ] && kill -TERM "$(cat pid)"; exit 0 ;;
  status)
    [ -e pid ] || exit 3
    [ -n "$(pids)" ] && exit 0
    while [ ! -e exit ]; do sleep 0.01; done
    [ "$(cat exit)" = 0 ] && exit 3
    echo "dead, exit status $(cat exit)"; exit 1 ;;
  instance) cat instance ;;
  last-exit) cat exit ;;
  hold) echo "$COLDBACKUP_BY" > held ;;
  release) rm -f held ;;
  pids) pids; exit 0 ;;
esac
`;

describe('the driver command, beyond what every driver does', () => {
  const folder = mkdtempSync(join(tmpdir(), 'coldbackup-command-driver-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function driver(spec: Partial<CommandSpec>): ServiceDriver {
    return createDriver({
      driver: { kind: 'command', start: ['true'], stop: ['true'], status: ['true'], ...spec },
    });
  }

  test('reads the exit codes of status as LSB has them', async () => {
    const states = await Promise.all(
      [0, 1, 2, 3, 4, 150].map(
        async (code) => (await driver({ status: ['sh', '-c', `exit ${code}`] }).observe()).state,
      ),
    );
    expect(states).toEqual(['running', 'failed', 'failed', 'stopped', 'unknown', 'unknown']);
  });

  test('a status command that is not there makes the state unknown, with the reason', async () => {
    expect(await driver({ status: ['/no/such/status'] }).observe()).toMatchObject({
      state: 'unknown',
      detail: expect.stringContaining('"/no/such/status" is not on PATH'),
    });
  });

  test('a stop command that fails is told at once, with the state', async () => {
    const failing = driver({ stop: ['sh', '-c', 'echo not allowed >&2; exit 1'] });
    await expect(failing.stop({ withinMs: 60_000 })).rejects.toThrow(
      /could not be stopped: .*exit code 1; it said: not allowed; \["true"\] exits 0/,
    );
  });

  test('a start command that hangs is ended, and says after how long', async () => {
    const hanging = driver({ status: ['sh', '-c', 'exit 3'], start: ['sleep', '60'] });
    await expect(hanging.start({ withinMs: 300 })).rejects.toThrow(/did not end within 300 ms/);
  });

  test('without the optional commands it says what it cannot tell', async () => {
    const plain = driver({ status: ['sh', '-c', 'exit 3'] });
    await plain.holdDown('the test');
    await plain.letGo();
    expect(await plain.stop({ withinMs: 1_000 })).toMatchObject({ exitStatus: null, instance: null });
    expect(await plain.stopTimeoutMs()).toBeNull();
    expect(await plain.startedBy()).toEqual([]);
  });
});
