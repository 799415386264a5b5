import { randomUUID } from 'node:crypto';
import { WorkflowFailedError } from '@temporalio/client';
import { ApplicationFailure, rootCause, TimeoutFailure } from '@temporalio/common';
import type * as inspect from '../workflows/inspect.ts';
import { controlQueue } from '../workflows/messages.ts';
import { QuestionError, UnreachableError } from './errors.ts';
import { assertServed, type Link } from './link.ts';

type Questions = typeof inspect;
type Asked<K extends keyof Questions> = Parameters<Questions[K]>[0];
type Answer<K extends keyof Questions> = Awaited<ReturnType<Questions[K]>>;

const withinMs = 10 * 60_000;
/** Reading a set again, byte by byte. */
const verifyWithinMs = 24 * 60 * 60_000;

/**
 * Asks control and the agents.
 * @throws QuestionError for an unknown name, or what an agent says against it. UnreachableError when nobody answers.
 */
export async function ask<K extends keyof Questions>(
  link: Link,
  kind: K,
  input: Asked<K>,
): Promise<Answer<K>> {
  await assertServed(link);
  try {
    return (await link.client.workflow.execute(kind, {
      workflowId: `${controlQueue}/ask/${kind}/${randomUUID()}`,
      taskQueue: controlQueue,
      args: [input],
      workflowExecutionTimeout: kind === 'setVerify' ? verifyWithinMs : withinMs,
      staticSummary: `${input.site}: ${kind}`,
    })) as Answer<K>;
  } catch (error) {
    if (!(error instanceof WorkflowFailedError)) throw error;
    throw failureOf(error);
  }
}

/** Types of failures of control and agents. */
const badInput: readonly string[] = ['UnknownName', 'UnknownSiteError', 'PlanError', 'WindowError'];

export function failureOf(error: WorkflowFailedError): Error {
  for (let cause: unknown = error.cause; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof ApplicationFailure)
      return new QuestionError(cause.message, {
        badInput: badInput.includes(cause.type ?? ''),
        cause: error,
      });
    if (cause instanceof TimeoutFailure)
      return new UnreachableError(
        `no answer in time (${error.cause?.message ?? cause.message}): are control and the agents running? See coldbackup hosts SITE`,
        { cause: error },
      );
  }
  return new QuestionError(rootCause(error) ?? error.message, { badInput: false, cause: error });
}
