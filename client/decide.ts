import { randomUUID } from 'node:crypto';
import {
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
  type WorkflowUpdateHandle,
} from '@temporalio/client';
import type { UpdateDefinition } from '@temporalio/common';
import * as messages from '../workflows/messages.ts';
import type { Answer, Decision, Extension, Retry, StepDecision } from '../workflows/messages.ts';
import { RefusedError, UnreachableError } from './errors.ts';
import { answerWithinMs, grpcCode, noAnswer, NOT_FOUND, type Link } from './link.ts';
import type { RunRef } from './reports.ts';

/** An operator's word counts this long: who gave up must not be obeyed later. */
const validForMs = 60_000;
const tryMs = 3_000;

/** What operators may say to a run, and what each word takes besides who and why. */
interface Words {
  readonly abort: Decision;
  readonly bringBack: Decision;
  readonly pause: Decision;
  readonly resume: Decision;
  readonly skip: StepDecision;
  readonly retry: Retry;
  readonly answer: Answer;
  readonly extend: Extension;
}

export type Word = keyof Words;
export type WordInput<W extends Word> = Omit<Words[W], 'sentAt' | 'validForMs'>;

const updates: { readonly [W in Word]: UpdateDefinition<string, [Words[W]]> } = {
  abort: messages.abortUpdate,
  bringBack: messages.bringBackUpdate,
  pause: messages.pauseUpdate,
  resume: messages.resumeUpdate,
  skip: messages.skipUpdate,
  retry: messages.retryUpdate,
  answer: messages.answerUpdate,
  extend: messages.extendUpdate,
};

/**
 * An operator's decision. Sent again under the same id until it is accepted.
 * @returns what follows from it, in words.
 * @throws RefusedError with the run's reason. UnreachableError when it was not accepted within 10 s.
 */
export async function decide<W extends Word>(
  link: Link,
  { workflowId, runId }: RunRef,
  word: W,
  input: WordInput<W>,
): Promise<string> {
  const handle = link.client.workflow.getHandle(workflowId, runId);
  const update: UpdateDefinition<string, [Words[W]]> = updates[word];
  const decision = { ...input, sentAt: new Date().toISOString(), validForMs } as unknown as Words[W];
  const options = {
    args: [decision] as [Words[W]],
    updateId: randomUUID(),
    waitForStage: 'ACCEPTED' as const,
  };
  const until = Date.now() + answerWithinMs;
  let accepted: WorkflowUpdateHandle<string> | null = null;
  try {
    while (accepted === null) {
      accepted = await orNull(link, () =>
        link.client.connection.withDeadline(Math.min(until, Date.now() + tryMs), () =>
          handle.startUpdate(update, options),
        ),
      );
      if (accepted === null && Date.now() >= until) throw notAccepted(workflowId, update.name);
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

function notAccepted(workflowId: string, word: string): UnreachableError {
  return new UnreachableError(
    `run ${workflowId} did not accept the ${word} within ${answerWithinMs / 1000} s: control does not answer, or the run is stuck. ` +
      `It is not obeyed later than ${validForMs / 1000} s after it was sent. Start control again, or bring each host back ` +
      'without Temporal: coldbackup recover --host NAME --site FILE',
  );
}
