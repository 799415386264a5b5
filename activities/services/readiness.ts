import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Argv, Readiness, Service } from '../../model/site.ts';
import { CommandError, runCommand } from '../system/command.ts';
import { poll } from '../system/poll.ts';
import { ServiceError, isDown } from './driver.ts';
import type { ServiceDriver } from './driver.ts';

/** One answer of a probe must not take longer; the next asks again. */
const probeTimeoutMs = 5_000;
/** A start command may return before its daemon is there to be seen. */
const appearWithinMs = 2_000;

export interface ReadyOptions {
  readonly withinMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Ends as soon as the service is ready in the words of the site file, else of its driver. Throws {@link ServiceError}
 * with the last reason seen: at `withinMs`, or at once when the service has ended instead.
 */
export async function waitUntilReady(
  service: Pick<Service, 'ready'>,
  driver: ServiceDriver,
  { withinMs, signal }: ReadyOptions,
): Promise<void> {
  const startedAt = performance.now();
  let wasUp = false;
  let last = 'not asked yet';
  const ready = await poll(
    async () => {
      const observation = await driver.observe(signal);
      const down = isDown(observation);
      if (down && (wasUp || performance.now() - startedAt > appearWithinMs)) {
        const exit = observation.lastExit === null ? '' : `, last exit status ${observation.lastExit}`;
        throw new ServiceError(
          `The service ended instead of becoming ready: ${observation.detail}${exit}. Its own log says why.`,
        );
      }
      wasUp ||= !down && observation.state !== 'unknown';
      const why = service.ready === undefined || down ? null : await probe(service.ready, signal);
      if (observation.state === 'running' && why === null) return true;
      last = why ?? observation.detail;
      return undefined;
    },
    { firstMs: 50, longestMs: 500, until: startedAt + withinMs, signal },
  );
  if (ready === true) return;
  throw new ServiceError(
    `The service was not ready within ${Math.round(withinMs / 100) / 10} s: ${last}. If it needs longer, raise ready.within.`,
  );
}

const lookEveryMs = 1_000;

/** Waits for something else of a service that was ready; throws {@link ServiceError} as soon as that has ended. */
export async function whileUp<T>(
  driver: ServiceDriver,
  signal: AbortSignal | undefined,
  wait: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const ended = new AbortController();
  const over = new AbortController();
  const looking = (async () => {
    while (!over.signal.aborted) {
      const observation = await driver.observe(over.signal);
      if (isDown(observation)) {
        const exit = observation.lastExit === null ? '' : `, last exit status ${observation.lastExit}`;
        ended.abort(
          new ServiceError(
            `The service ended after it was started: ${observation.detail}${exit}. Its own log says why.`,
          ),
        );
        return;
      }
      await sleep(lookEveryMs, undefined, { signal: over.signal });
    }
  })().catch(() => undefined);
  try {
    return await wait(signal === undefined ? ended.signal : AbortSignal.any([signal, ended.signal]));
  } finally {
    over.abort();
    await looking;
  }
}

/** null: ready; else why not yet. */
async function probe(readiness: Readiness, signal: AbortSignal | undefined): Promise<string | null> {
  switch (readiness.kind) {
    case 'tcp':
      return probeTcp(readiness.host, readiness.port, signal);
    case 'http':
      return probeHttp(readiness.url, readiness.status, signal);
    case 'command':
      return probeCommand(readiness.command, signal);
  }
}

function probeTcp(host: string, port: number, signal: AbortSignal | undefined): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, ...(signal === undefined ? {} : { signal }) });
    const end = (why: string | null): void => {
      socket.destroy();
      resolve(why === null ? null : `tcp ${host}:${port}: ${why}`);
    };
    socket.setTimeout(probeTimeoutMs, () => end('no answer'));
    socket.once('connect', () => end(null));
    socket.once('error', (error) => end(reasonOf(error)));
  });
}

async function probeHttp(
  url: string,
  status: number | undefined,
  signal: AbortSignal | undefined,
): Promise<string | null> {
  const timeout = AbortSignal.timeout(probeTimeoutMs);
  try {
    const response = await fetch(url, {
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
    });
    await response.body?.cancel();
    const good = status === undefined ? response.ok : response.status === status;
    return good ? null : `GET ${url} answers ${response.status}, not ${status ?? '2xx'}`;
  } catch (error) {
    signal?.throwIfAborted();
    return `GET ${url}: ${reasonOf(error)}`;
  }
}

async function probeCommand(command: Argv, signal: AbortSignal | undefined): Promise<string | null> {
  try {
    await runCommand(command, { signal, timeoutMs: probeTimeoutMs });
    return null;
  } catch (error) {
    if (error instanceof CommandError) return error.message;
    throw error;
  }
}

/** fetch and happy eyeballs hide the reason in causes. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0]);
  if (error instanceof Error && error.cause !== undefined) return reasonOf(error.cause);
  return error instanceof Error ? error.message : String(error);
}
