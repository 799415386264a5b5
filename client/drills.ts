import { WorkflowExecutionAlreadyStartedError, WorkflowFailedError } from '@temporalio/client';
import { ApplicationFailure, CancelledFailure, WorkflowIdConflictPolicy } from '@temporalio/common';
import type { Drill } from '../model/drill.ts';
import type { DrillInput } from '../workflows/drill.ts';
import { controlQueue } from '../workflows/messages.ts';
import { AlreadyRunningError, RefusedError } from './errors.ts';
import { assertServed, soon, type Link } from './link.ts';
import { failureOf } from './questions.ts';
import type { RunRef } from './reports.ts';

/** One drill of a site at a time. @throws AlreadyRunningError */
export async function startDrill(link: Link, input: DrillInput): Promise<RunRef> {
  await assertServed(link);
  const workflowId = `${controlQueue}/ask/drill/${input.site}`;
  try {
    const { firstExecutionRunId } = await soon(link, () =>
      link.client.workflow.start('drill', {
        workflowId,
        taskQueue: controlQueue,
        args: [input],
        workflowIdConflictPolicy: WorkflowIdConflictPolicy.FAIL,
        staticSummary: `${input.site}: drill of ${input.set ?? 'the newest set'}`,
      }),
    );
    return { workflowId, runId: firstExecutionRunId };
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    throw new AlreadyRunningError(`a drill of ${input.site} is running (${workflowId}): one at a time`);
  }
}

/** Its outcome, passed or not. @throws RefusedError when it could not be carried out: then nothing is recorded. */
export async function drillResult(link: Link, { workflowId, runId }: RunRef): Promise<Drill> {
  try {
    return (await link.client.workflow.getHandle(workflowId, runId).result()) as Drill;
  } catch (error) {
    if (!(error instanceof WorkflowFailedError)) throw error;
    const { cause } = error;
    if (cause instanceof CancelledFailure)
      throw new RefusedError('the drill was cancelled: nothing is recorded');
    if (cause instanceof ApplicationFailure && cause.type === 'DrillFailed')
      return cause.details?.[0] as Drill;
    if (cause instanceof ApplicationFailure && cause.type === 'DrillRefused')
      throw new RefusedError(cause.message);
    throw failureOf(error);
  }
}
