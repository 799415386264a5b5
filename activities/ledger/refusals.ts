import { ApplicationFailure } from '@temporalio/common';

/** Why an agent says no. None of them is cured by asking again. */
export type Refusal =
  | 'Held'
  | 'AlreadyRan'
  | 'ProtocolDiffers'
  | 'DigestDiffers'
  | 'UnknownName'
  | 'Fenced'
  | 'Late'
  | 'TooLate'
  | 'Closed'
  | 'NotEmpty'
  | 'NotUnderstood'
  | 'NotAtRest'
  | 'SetDamaged';

export function refuse(kind: Refusal, message: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(message, kind);
}
