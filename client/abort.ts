import { randomUUID } from 'node:crypto';
import {
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
  type WorkflowUpdateHandle,
} from '@temporalio/client';
import { abortUpdate, type Decision } from '../workflows/messages.ts';
import { RefusedError, UnreachableError } from './errors.ts';
import { answerWithinMs, grpcCode, noAnswer, NOT_FOUND, type Link } from './link.ts';
import type { RunRef } from './reports.ts';

/** An operator's word counts this long: who gave up must not be obeyed later. */
const validForMs = 60_000;
const tryMs = 3_000;

/**
 * Ends the run, and brings all back. Sent again under the same id until it is accepted.
 * @returns what is brought back, in words.
 * @throws RefusedError with the run's reason. UnreachableError when it was not accepted within 10 s.
 */
export async function abortRun(
  link: Link,
  { workflowId, runId }: RunRef,
  { by, why }: Pick<Decision, 'by' | 'why'>,
): Promise<string> {
  const handle = link.client.workflow.getHandle(workflowId, runId);
  const decision: Decision = { by, why, sentAt: new Date().toISOString(), validForMs };
  const options = {
    args: [decision] as [Decision],
    updateId: randomUUID(),
    waitForStage: 'ACCEPTED' as const,
  };
  const until = Date.now() + answerWithinMs;
  let accepted: WorkflowUpdateHandle<string> | null = null;
  try {
    while (accepted === null) {
      accepted = await orNull(link, () =>
        link.client.connection.withDeadline(Math.min(until, Date.now() + tryMs), () =>
          handle.startUpdate(abortUpdate, options),
        ),
      );
      if (accepted === null && Date.now() >= until) throw notAccepted(workflowId);
    }
    return await accepted.result();
  } catch (error) {
    if (error instanceof WorkflowUpdateFailedError)
      throw new RefusedError(`run ${workflowId} refuses: ${error.cause?.message ?? error.message}`);
    if (grpcCode(error) === NOT_FOUND) throw new RefusedError(`run ${workflowId} has ended already`);
    throw error;
  }
}

/** null: nobody answered in time, to be tried again. */
async function orNull<T>({ address }: Link, call: () => Promise<T>): Promise<T | null> {
  try {
    return await call();
  } catch (error) {
    if (error instanceof WorkflowUpdateRPCTimeoutOrCancelledError || noAnswer(error, address) !== null)
      return null;
    throw error;
  }
}

function notAccepted(workflowId: string): UnreachableError {
  return new UnreachableError(
    `run ${workflowId} did not accept the abort within ${answerWithinMs / 1000} s: control does not answer, or the run is stuck. ` +
      `It is not obeyed later than ${validForMs / 1000} s after it was sent. Start control again, or bring each host back ` +
      'without Temporal: coldbackup recover --host NAME --site FILE',
  );
}
