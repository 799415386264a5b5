import { setTimeout as sleep } from 'node:timers/promises';

export interface PollOptions {
  readonly firstMs: number;
  readonly longestMs: number;
  /** By `performance.now()`; past it `undefined` is the answer. */
  readonly until?: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Asks until there is an answer other than undefined, with pauses that grow. Asks at least once, and once more at the
 * deadline. Throws the signal's reason when aborted.
 */
export async function poll<T>(
  ask: () => Promise<T | undefined>,
  { firstMs, longestMs, until = Infinity, signal }: PollOptions,
): Promise<T | undefined> {
  for (let pauseMs = firstMs; ; pauseMs = Math.min(pauseMs * 1.5, longestMs)) {
    signal?.throwIfAborted();
    const last = performance.now() >= until;
    const answer = await ask();
    if (answer !== undefined || last) return answer;
    await pause(Math.min(pauseMs, Math.max(0, until - performance.now())), signal);
  }
}

async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
