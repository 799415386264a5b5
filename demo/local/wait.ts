import { setTimeout as sleep } from 'node:timers/promises';

export interface WaitOptions {
  /** What is waited for, as it reads after "waited 5000 ms for …". */
  what: string;
  withinMs: number;
  /** Says why there is no sense in waiting on (a server that has ended), or nothing. */
  unless?: () => string | undefined;
}

/**
 * Polls until `check` gives something truthy, and gives it. A check that throws is tried again. Throws after
 * `withinMs`, with the last error, or at once when `unless` says why.
 */
export async function waitFor<T>(
  check: () => T | Promise<T>,
  { what, withinMs, unless }: WaitOptions,
): Promise<Exclude<T, false | null | undefined | 0 | ''>> {
  const deadline = Date.now() + withinMs;
  let lastError: unknown;
  for (let pauseMs = 5; ; pauseMs = Math.min(pauseMs * 1.5, 100)) {
    try {
      const found = await check();
      if (found) return found as Exclude<T, false | null | undefined | 0 | ''>;
      lastError = undefined;
    } catch (error) {
      lastError = error;
    }
    const reason = unless?.();
    if (reason !== undefined) throw new Error(`waited for ${what} in vain: ${reason}`, { cause: lastError });
    if (Date.now() >= deadline) throw new Error(`waited ${withinMs} ms for ${what}${endingWith(lastError)}`);
    await sleep(pauseMs);
  }
}

function endingWith(error: unknown): string {
  return error === undefined
    ? ''
    : `; the last try: ${error instanceof Error ? error.message : JSON.stringify(error)}`;
}
