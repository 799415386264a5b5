import { ApplicationFailure } from '@temporalio/common';

/** The type of a failure that asking again cannot cure. */
export const refusedType = 'MongodbRefused';

/** A retry cannot cure it: the site file, the cluster or the credentials have to change. */
export function refusal(message: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(message, refusedType);
}

/** It may go by itself: a server that restarts, a lost connection. */
export function trouble(message: string): ApplicationFailure {
  return ApplicationFailure.retryable(message, 'MongodbTrouble');
}
