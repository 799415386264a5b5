import { Context } from '@temporalio/activity';

/** Beats are sent this often, whatever the activity does; the SDK's throttle is set to the same. */
export const beatEveryMs = 2_000;

const details = new WeakMap<Context, unknown>();

/** For the attempt that runs: a function, to be called at any time, that says what its next heartbeats tell people. */
export function progressTeller(): (progress: unknown) => void {
  const context = Context.current();
  return (progress) => details.set(context, progress);
}

/** Of the attempt that runs; its reason says why. */
export function attemptSignal(): AbortSignal {
  return Context.current().cancellationSignal;
}

/**
 * Cancellation reaches an activity only with its heartbeats: so each beats from its start to its end. What the beats say
 * until it tells more is what it is `about`: the list of pending activities in the Temporal UI shows no summaries.
 */
export async function beating<T>(work: () => Promise<T>, about?: unknown): Promise<T> {
  const context = Context.current();
  if (about !== undefined) details.set(context, about);
  const timer = setInterval(() => context.heartbeat(details.get(context)), beatEveryMs);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}
