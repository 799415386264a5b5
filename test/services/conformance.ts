import { createServer as createHttpServer } from 'node:http';
import type { Server } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { Observation, ServiceDriver } from '../../activities/services/driver.ts';
import { waitUntilReady } from '../../activities/services/readiness.ts';

/** What a service of the suite does; the rig makes a real one of it. */
export interface Behaviour {
  /** A shell program that is the service. Absent: it runs until SIGTERM, and then exits 0. */
  readonly main?: string;
  /** A child outlives the main process by 700 ms. */
  readonly lingers?: boolean;
}

export interface DriverRig {
  /** A new stopped service. */
  create(name: string, behaviour?: Behaviour): Promise<ServiceDriver>;
  /** Starts it as a person would, past the driver; gives what that person was told. */
  startByHand(name: string): Promise<{ readonly exitCode: number; readonly said: string }>;
  /** Of every process of the service, also those left behind. */
  processes(name: string): Promise<readonly number[]>;
  stop(): Promise<void>;
}

/** What every driver must do, with real processes. */
export function describeDriver(kind: string, startRig: () => Promise<DriverRig>): void {
  describe(`the driver ${kind}`, () => {
    let rig: DriverRig;
    let count = 0;
    const servers: { close(): unknown }[] = [];
    beforeAll(async () => {
      rig = await startRig();
    });
    afterEach(() => {
      for (const server of servers.splice(0)) server.close();
    });
    afterAll(() => rig.stop());

    async function service(behaviour?: Behaviour): Promise<{ name: string; driver: ServiceDriver }> {
      const name = `service-${++count}`;
      return { name, driver: await rig.create(name, behaviour) };
    }

    async function running(behaviour?: Behaviour): Promise<{ name: string; driver: ServiceDriver }> {
      const made = await service(behaviour);
      await made.driver.start();
      await waitUntilReady({}, made.driver, { withinMs: 10_000 });
      return made;
    }

    test('tells running from stopped, and gives each start another instance', async () => {
      const { driver } = await service();
      expect((await driver.observe()).state).toBe('stopped');
      await driver.start();
      const first = await until(driver, 'running');
      expect(first.instance).not.toBeNull();
      await driver.stop({ withinMs: 10_000 });
      await driver.start();
      const second = await until(driver, 'running');
      expect(second.instance).not.toBe(first.instance);
    });

    test('a stop proves itself: time taken, clean exit, and the instance that was stopped', async () => {
      const { name, driver } = await running();
      const { instance } = await driver.observe();
      await driver.holdDown('the test');
      const evidence = await driver.stop({ withinMs: 10_000 });
      expect(evidence).toMatchObject({ exitStatus: 0, instance });
      expect(evidence.tookMs).toBeGreaterThan(0);
      expect(await rig.processes(name)).toEqual([]);
      expect(await driver.observe()).toMatchObject({ state: 'stopped', instance, lastExit: 0 });
      await driver.letGo();
    });

    test('an exit by SIGKILL is told as 128 + 9: it was not clean', async () => {
      const { name, driver } = await running();
      await driver.holdDown('the test');
      for (const pid of await rig.processes(name)) kill(pid);
      await until(driver, 'failed');
      expect((await driver.stop({ withinMs: 10_000 })).exitStatus).toBe(137);
      await driver.letGo();
    });

    test('gone means gone: a child that lingers after the main process is waited for', async () => {
      const { name, driver } = await running({ lingers: true });
      const { tookMs } = await driver.stop({ withinMs: 10_000 });
      expect(await rig.processes(name)).toEqual([]);
      expect(tookMs).toBeGreaterThan(400);
    });

    test('a second stop and a second start do nothing', async () => {
      const { driver } = await running();
      const before = await driver.observe();
      await driver.start();
      expect((await driver.observe()).instance).toBe(before.instance);
      await driver.stop({ withinMs: 10_000 });
      await driver.stop({ withinMs: 10_000 });
      expect((await driver.observe()).state).toBe('stopped');
    });

    test('held down, it cannot be started by hand, and whoever tries is told by whom and what lifts it', async () => {
      const { name, driver } = await running();
      await driver.holdDown('vitam/nightly');
      await driver.holdDown('vitam/nightly');
      expect((await driver.observe()).state).toBe('running');
      await driver.stop({ withinMs: 10_000 });
      const attempt = await rig.startByHand(name);
      expect(attempt.exitCode).not.toBe(0);
      expect(attempt.said).toMatch(/coldbackup/);
      expect(attempt.said).toMatch(/coldbackup.recover/);
      expect((await driver.observe()).state).toBe('stopped');
      await expect(driver.start()).rejects.toThrow(/coldbackup.recover/);
      expect(await rig.processes(name)).toEqual([]);
    });

    test('let go, it starts again; letting go twice is harmless and starts nothing', async () => {
      const { name, driver } = await service();
      await driver.letGo();
      await driver.holdDown('the test');
      await driver.letGo();
      await driver.letGo();
      expect((await driver.observe()).state).toBe('stopped');
      expect((await rig.startByHand(name)).exitCode).toBe(0);
      await until(driver, 'running');
    });

    test('a stop that takes too long says what is still there', async () => {
      const { driver } = await running({ main: stubborn });
      await expect(driver.stop({ withinMs: 400 })).rejects.toThrow(/was not gone 0.4 s after .*stop/);
    });

    test('a start that takes too long is given up with the reason', async () => {
      const { driver } = await service({ main: slowToStart });
      const ready = { kind: 'command', command: ['sh', '-c', 'echo not yet >&2; exit 1'] } as const;
      await driver.start();
      await expect(waitUntilReady({ ready }, driver, { withinMs: 400 })).rejects.toThrow(
        /not ready within 0.4 s: .*exit code 1; it said: not yet.*raise ready.within/,
      );
    });

    test('the waiting of a stop ends when it is cancelled', async () => {
      const { driver } = await running({ main: stubborn });
      const abort = new AbortController();
      const reason = new Error('the operator said so');
      const stopping = driver.stop({ withinMs: 60_000, signal: abort.signal });
      setTimeout(() => abort.abort(reason), 200);
      await expect(stopping).rejects.toBe(reason);
    });

    test('the waiting for readiness ends when it is cancelled', async () => {
      const { driver } = await running();
      const abort = new AbortController();
      const reason = new Error('the operator said so');
      const ready = { kind: 'command', command: ['false'] } as const;
      const waiting = waitUntilReady({ ready }, driver, { withinMs: 60_000, signal: abort.signal });
      setTimeout(() => abort.abort(reason), 200);
      await expect(waiting).rejects.toBe(reason);
    });

    test('a service that crashed has failed: that is not running, and not silently stopped', async () => {
      const { driver } = await service({ main: 'sleep 0.2; exit 7' });
      await driver.start();
      await until(driver, 'failed');
    });

    test('readiness ends at once when the service ends instead', async () => {
      const { driver } = await service({ main: 'sleep 0.3; exit 7' });
      await driver.start();
      const startedAt = performance.now();
      const ready = { kind: 'command', command: ['false'] } as const;
      await expect(waitUntilReady({ ready }, driver, { withinMs: 60_000 })).rejects.toThrow(
        /ended instead of becoming ready: .*7/,
      );
      expect(performance.now() - startedAt).toBeLessThan(10_000);
    });

    test('ready by tcp: once the port accepts', async () => {
      const { driver } = await running();
      const server = createTcpServer();
      const port = await freePort();
      const ready = { kind: 'tcp', host: '127.0.0.1', port } as const;
      await expect(waitUntilReady({ ready }, driver, { withinMs: 300 })).rejects.toThrow(/ECONNREFUSED/);
      const waiting = waitUntilReady({ ready }, driver, { withinMs: 10_000 });
      server.listen(port, '127.0.0.1');
      servers.push(server);
      await waiting;
    });

    test('ready by http: once the answer is the wanted one', async () => {
      const { driver } = await running();
      let status = 503;
      const { url } = await httpServer(() => status);
      const ready = { kind: 'http', url, status: 204 } as const;
      await expect(waitUntilReady({ ready }, driver, { withinMs: 300 })).rejects.toThrow(
        /answers 503, not 204/,
      );
      status = 204;
      await waitUntilReady({ ready }, driver, { withinMs: 10_000 });
    });

    async function httpServer(status: () => number): Promise<{ url: string }> {
      const server: Server = createHttpServer((_, response) => response.writeHead(status()).end());
      servers.push(server);
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/status` };
    }
  });
}

/** Polls until the driver sees a state. */
export async function until(driver: ServiceDriver, state: Observation['state']): Promise<Observation> {
  const end = Date.now() + 10_000;
  for (;;) {
    const observation = await driver.observe();
    if (observation.state === state) return observation;
    if (Date.now() > end) throw new Error(`never ${state}: ${JSON.stringify(observation)}`);
    await sleep(20);
  }
}

/** The shell program of a service; without double quotes, so that it fits into a unit. */
export function programOf({ main, lingers = false }: Behaviour): string {
  const program = main ?? `trap 'exit 0' TERM; while :; do sleep 0.05; done`;
  const child = `(trap '' TERM; while grep -q '^State:.[^Z]' /proc/$$/status; do sleep 0.05; done; sleep 0.7) &`;
  return lingers ? `${child} ${program}` : program;
}

/** Kills a process that may have ended. */
export function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has.
  }
}

async function freePort(): Promise<number> {
  const server = createTcpServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const stubborn = `trap '' TERM; while :; do sleep 0.1; done`;
const slowToStart = `trap 'exit 0' TERM; while :; do sleep 0.1; done`;
