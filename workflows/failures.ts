import { ActivityFailure, rootCause, TimeoutFailure, TimeoutType } from '@temporalio/common';

/** How {@link messageOf} begins where nobody took a task up. */
export const noAnswer = 'no answer';

/** What went wrong, for people: the agent's own words where there are any. */
export function messageOf(error: unknown): string {
  if (error instanceof ActivityFailure && error.cause instanceof TimeoutFailure)
    return error.cause.timeoutType === TimeoutType.SCHEDULE_TO_START
      ? `${noAnswer}: no agent took up ${error.activityType}; is it running, and does it reach Temporal?`
      : `${error.activityType} timed out (${error.cause.timeoutType ?? 'unknown'})`;
  return rootCause(error) ?? String(error);
}
