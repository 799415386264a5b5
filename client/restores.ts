import { WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import { WorkflowIdConflictPolicy } from '@temporalio/common';
import { controlQueue } from '../workflows/messages.ts';
import type { RestoreInput } from '../workflows/restore-plan.ts';
import { AlreadyRunningError } from './errors.ts';
import { assertServed, soon, type Link } from './link.ts';
import type { RunRef } from './reports.ts';

/** Hosts are claimed by one run at a time, whatever its name is. @throws AlreadyRunningError */
export async function startRestore(link: Link, input: RestoreInput): Promise<RunRef> {
  await assertServed(link);
  const { site, set, by, why } = input;
  // Not of the site alone: a restore never takes over what another one of another set has begun.
  const workflowId = `${controlQueue}/${site}/restore/${set}`;
  try {
    const { firstExecutionRunId } = await soon(link, () =>
      link.client.workflow.start('restore', {
        workflowId,
        taskQueue: controlQueue,
        args: [input],
        workflowIdConflictPolicy: WorkflowIdConflictPolicy.FAIL,
        staticSummary: `${site}: restore of ${set}`,
        staticDetails: [
          `Restore of **${set}** in site **${site}**, wanted by ${by}: ${why}`,
          'Cancel or `abort` puts the old data back, until the new is kept. Terminate runs no code: then the watchdog, or `coldbackup recover`, does.',
        ].join('\n\n'),
      }),
    );
    return { workflowId, runId: firstExecutionRunId };
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    throw new AlreadyRunningError(
      `a restore of ${set} is running (${workflowId}). See: coldbackup status ${site} restore`,
    );
  }
}
