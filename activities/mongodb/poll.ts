import { setTimeout as sleep } from 'node:timers/promises';

export interface Patience {
  /** Epoch milliseconds. */
  readonly untilMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Called before every pause with what is still awaited. */
  readonly onWait?: ((still: string) => void) | undefined;
}

const pauseMs = 200;

/**
 * Asks until the answer has a value; null when time is up. Asks at least once. What is awaited is the answer's
 * `still`.
 */
export async function poll<T>(
  ask: () => Promise<{ value: T } | { still: string }>,
  { untilMs, signal, onWait }: Patience,
): Promise<{ value: T } | { still: string }> {
  for (;;) {
    signal?.throwIfAborted();
    const answer = await ask();
    if ('value' in answer || Date.now() >= untilMs) return answer;
    onWait?.(answer.still);
    await sleep(Math.max(1, Math.min(pauseMs, untilMs - Date.now())), undefined, { signal });
  }
}
