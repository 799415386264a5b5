import {
  ActivityFailure,
  ApplicationFailure,
  rootCause,
  TimeoutFailure,
  TimeoutType,
} from '@temporalio/common';
import { isCancellation } from '@temporalio/workflow';

/** How {@link messageOf} begins where nobody took a task up. */
export const noAnswer = 'no answer';

/** What went wrong, for people: the agent's own words where there are any. */
export function messageOf(error: unknown): string {
  if (error instanceof ActivityFailure && error.cause instanceof TimeoutFailure)
    return error.cause.timeoutType === TimeoutType.SCHEDULE_TO_START
      ? `${noAnswer}: no agent took up ${error.activityType}; is it running, and does it reach Temporal?`
      : `${error.activityType} timed out (${error.cause.timeoutType ?? 'unknown'})`;
  if (isCancellation(error)) return 'cancelled';
  // What lies under them (ENOSPC, ENOENT) says neither where it was nor what to do.
  if (
    error instanceof ActivityFailure &&
    error.cause instanceof ApplicationFailure &&
    error.cause.message !== ''
  )
    return error.cause.message;
  return rootCause(error) ?? String(error);
}
