import { setTimeout as sleep } from 'node:timers/promises';

/** In the middle of an upload a store may be out of reach for so long: a server's restart, a line that is cut. */
export const comesBackWithinMs = 60_000;

const firstPauseMs = 250;
const longestPauseMs = 2_000;

export interface Patience {
  /** Since the first failure. What is under way by then may still go well. */
  readonly withinMs: number;
  readonly mayPass: (error: unknown) => boolean;
  readonly signal: AbortSignal;
}

/** Tries until it goes well. Throws the last failure when the time is over, or when it is one that does not pass. */
export async function persist<T>(
  action: () => Promise<T>,
  { withinMs, mayPass, signal }: Patience,
): Promise<T> {
  let untilMs: number | null = null;
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(longestPauseMs, 2 * pauseMs)) {
    try {
      return await action();
    } catch (error) {
      const now = performance.now();
      untilMs ??= now + withinMs;
      if (signal.aborted || !mayPass(error) || now + pauseMs > untilMs) throw error;
    }
    await sleep(pauseMs, undefined, { signal });
  }
}
