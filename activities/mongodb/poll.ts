import { poll as pollUntil } from '../system/poll.ts';

export interface Patience {
  /** Epoch milliseconds. */
  readonly untilMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Called before every pause with what is still awaited. */
  readonly onWait?: ((still: string) => void) | undefined;
}

export type Answer<T> = { readonly value: T } | { readonly still: string };

/** Asks until there is a value, at least once; the last `still` when time is up. */
export async function poll<T>(
  ask: () => Promise<Answer<T>>,
  { untilMs, signal, onWait }: Patience,
): Promise<Answer<T>> {
  let still = '';
  const found = await pollUntil(
    async () => {
      const answer = await ask();
      if ('value' in answer) return answer;
      still = answer.still;
      onWait?.(still);
      return undefined;
    },
    { firstMs: 50, longestMs: 500, until: performance.now() + untilMs - Date.now(), signal },
  );
  return found ?? { still };
}
