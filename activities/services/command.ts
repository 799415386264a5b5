import type { StopEvidence } from '../../model/ledger.ts';
import type { Argv, DriverSpec } from '../../model/site.ts';
import { CommandError, runCommand } from '../system/command.ts';
import { poll } from '../system/poll.ts';
import { ServiceError, isDown } from './driver.ts';
import type { Observation, ServiceDriver, StartOptions, StopOptions } from './driver.ts';

type CommandSpec = Extract<DriverSpec, { kind: 'command' }>;

/** Of a status, instance or last-exit command: one that hangs must not hang the night. */
const questionTimeoutMs = 30_000;

/** A service behind commands of the site file, with the exit codes of LSB init scripts. */
export function createCommandDriver(spec: CommandSpec): ServiceDriver {
  return {
    observe: (signal) => observe(spec, signal),
    holdDown: (by) => runIfThere(spec.holdDown, by),
    letGo: () => runIfThere(spec.letGo),
    stop: (options) => stop(spec, options),
    start: (options = {}) => start(spec, options),
    stopTimeoutMs: () => Promise.resolve(null),
    startedBy: () => Promise.resolve([]),
  };
}

async function observe(spec: CommandSpec, signal?: AbortSignal): Promise<Observation> {
  return {
    ...(await readStatus(spec, signal)),
    since: null,
    instance: await readInstance(spec, signal),
    lastExit: await readLastExit(spec, signal),
    dragged: [],
    triggers: [],
  };
}

async function stop(spec: CommandSpec, { withinMs, signal }: StopOptions): Promise<StopEvidence> {
  const startedAt = performance.now();
  const found = await readStatus(spec, signal);
  const instance = await readInstance(spec, signal);
  const failure = isDown(found) ? undefined : await tryStop(spec, withinMs, signal);
  let last = found;
  const gone = await poll(
    async () => {
      last = await readStatus(spec, signal);
      if (!isDown(last) && failure?.timedOut === false) throw cannotStop(failure, last);
      return isDown(last) ? true : undefined;
    },
    { firstMs: 20, longestMs: 250, until: startedAt + withinMs, signal },
  );
  if (gone !== true) {
    throw new ServiceError(
      `The service was not gone ${Math.round(withinMs / 100) / 10} s after ${JSON.stringify(spec.stop)}: ${
        failure === undefined ? '' : `${failure.message}; `
      }${last.detail}. See what it waits for, or raise stop-within.`,
      { cause: failure },
    );
  }
  return {
    tookMs: performance.now() - startedAt,
    exitStatus: await readLastExit(spec, signal),
    instance,
  };
}

async function start(spec: CommandSpec, { signal, withinMs }: StartOptions): Promise<void> {
  if ((await readStatus(spec, signal)).state === 'running') return;
  try {
    await runCommand(spec.start, {
      signal,
      leavesDaemon: true,
      ...(withinMs === undefined ? {} : { timeoutMs: withinMs }),
    });
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    throw new ServiceError(`The service did not start: ${error.message}.`, { cause: error });
  }
}

type Status = Pick<Observation, 'state' | 'detail'>;

/** LSB: 0 running; 1, 2 dead although its pid or lock file is there; 3 not running; the rest unknown. */
async function readStatus(spec: CommandSpec, signal: AbortSignal | undefined): Promise<Status> {
  try {
    const result = await runCommand(spec.status, {
      signal,
      timeoutMs: questionTimeoutMs,
      acceptExit: Array.from({ length: 256 }, (_, code) => code),
    });
    const said =
      (result.stdout.trim() === '' ? result.stderr : result.stdout).trim().split('\n').at(-1) ?? '';
    const detail = `${JSON.stringify(spec.status)} exits ${result.exitCode}${said === '' ? '' : `: ${said.slice(-200)}`}`;
    return { state: stateOf(result.exitCode), detail };
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return { state: 'unknown', detail: error.message };
  }
}

function stateOf(exitCode: number): Observation['state'] {
  if (exitCode === 0) return 'running';
  if (exitCode === 3) return 'stopped';
  return exitCode < 3 ? 'failed' : 'unknown';
}

async function tryStop(
  spec: CommandSpec,
  withinMs: number,
  signal: AbortSignal | undefined,
): Promise<CommandError | undefined> {
  try {
    await runCommand(spec.stop, { signal, timeoutMs: withinMs });
    return undefined;
  } catch (error) {
    if (error instanceof CommandError) return error;
    throw error;
  }
}

function cannotStop(failure: CommandError, last: Status): ServiceError {
  return new ServiceError(`The service could not be stopped: ${failure.message}; ${last.detail}.`, {
    cause: failure,
  });
}

async function readInstance(spec: CommandSpec, signal: AbortSignal | undefined): Promise<string | null> {
  const text = await ask(spec.instance, signal);
  return text === null || text === '' ? null : text;
}

async function readLastExit(spec: CommandSpec, signal: AbortSignal | undefined): Promise<number | null> {
  const text = await ask(spec.lastExit, signal);
  return text !== null && /^\d+$/.test(text) ? Number(text) : null;
}

/** null: there is no such command, or it cannot tell. */
async function ask(argv: Argv | undefined, signal: AbortSignal | undefined): Promise<string | null> {
  if (argv === undefined) return null;
  try {
    return (await runCommand(argv, { signal, timeoutMs: questionTimeoutMs })).stdout.trim();
  } catch (error) {
    if (error instanceof CommandError) return null;
    throw error;
  }
}

/** The command learns from COLDBACKUP_BY who holds the service. */
async function runIfThere(argv: Argv | undefined, by?: string): Promise<void> {
  if (argv === undefined) return;
  await runCommand(argv, {
    timeoutMs: questionTimeoutMs,
    ...(by === undefined ? {} : { env: { COLDBACKUP_BY: by } }),
  });
}
