import { WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import { WorkflowIdConflictPolicy, WorkflowIdReusePolicy } from '@temporalio/common';
import { controlQueue, type ProcedureInput } from '../workflows/messages.ts';
import { AlreadyRunningError, nameOfRun } from './errors.ts';
import { assertServed, soon, type Link } from './link.ts';
import type { RunRef } from './reports.ts';
import { activeRuns } from './runs.ts';

/**
 * @throws AlreadyRunningError when this procedure of the site runs already, whoever started it.
 * @throws UnreachableError when no control is there to run it.
 */
export async function startRun(link: Link, input: ProcedureInput): Promise<RunRef> {
  await assertFree(link, input);
  const workflowId = workflowIdOf(input);
  try {
    const handle = await soon(link, () =>
      link.client.workflow.start('procedure', {
        workflowId,
        taskQueue: controlQueue,
        args: [input],
        workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
        workflowIdConflictPolicy: WorkflowIdConflictPolicy.FAIL,
        staticSummary: `${input.site} ${input.procedure}`,
        staticDetails: detailsOf(input),
      }),
    );
    return { workflowId, runId: handle.firstExecutionRunId };
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    throw await alreadyRunning(link, { ...input, workflowId });
  }
}

/** @throws AlreadyRunningError; UnreachableError when no control is there. */
export async function assertFree(link: Link, { site, procedure }: ProcedureInput): Promise<void> {
  await assertServed(link);
  const [running] = await activeRuns(link, site, procedure);
  if (running !== undefined) throw await alreadyRunning(link, running);
}

/** A schedule adds the time of the start. */
export function workflowIdOf({ site, procedure }: ProcedureInput): string {
  return `${controlQueue}/${site}/${procedure}`;
}

/** For the page of the run in the Temporal UI. */
export function detailsOf({ site, procedure, upBy, again }: ProcedureInput): string {
  return [
    `Procedure **${procedure}** of site **${site}**${upBy === undefined ? '' : `, up by ${upBy}`}${again === true ? ', once more for this night' : ''}.`,
    'Cancel or `abort` brings everything back. Terminate runs no code: then the watchdog, or `coldbackup recover`, brings it back.',
  ].join('\n\n');
}

async function alreadyRunning(
  link: Link,
  run: ProcedureInput & { readonly workflowId: string },
): Promise<AlreadyRunningError> {
  const { startTime } = await soon(link, () => link.client.workflow.getHandle(run.workflowId).describe());
  return new AlreadyRunningError(
    `${nameOfRun(run)} is already running since ${startTime.toISOString()} (${run.workflowId}). See: coldbackup status ${run.site} ${run.procedure}`,
  );
}
