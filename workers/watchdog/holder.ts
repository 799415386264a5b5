import { WorkflowNotFoundError, type Client } from '@temporalio/client';
import type { Described, FailingTask } from '../../model/watchdog.ts';

/**
 * The newest run of a workflow id: a reset leaves the old one "terminated" while the new one lives, and a list may be
 * behind. Paused in Temporal is open.
 */
export async function describeHolder(client: Client, workflowId: string): Promise<Described> {
  try {
    const described = await client.workflow.getHandle(workflowId).describe();
    const { status, closeTime, runId, raw } = described;
    const how = endings[status.name];
    if (how !== undefined)
      return { kind: 'closed', how, at: (closeTime ?? described.startTime).toISOString() };
    const attempts = raw.pendingWorkflowTask?.attempt ?? 1;
    return {
      kind: 'open',
      failing: attempts < 2 ? null : await failingTask(client, { workflowId, runId, attempts }),
    };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return { kind: 'none' };
    throw error;
  }
}

/** Whatever else there is, is open: it is left alone until up-by and grace. */
const endings: Readonly<Record<string, string>> = {
  COMPLETED: 'completed',
  FAILED: 'failed',
  CANCELLED: 'cancelled',
  TERMINATED: 'terminated',
  TIMED_OUT: 'timed out',
};

/** temporal.api.enums.v1.EventType, of workflow tasks */
const COMPLETED = 7;
const TIMED_OUT = 8;
const FAILED = 9;

/**
 * Since when no workflow task has been completed for a failure. The description tells only of the last attempt (server
 * 1.29: its original time too), and later attempts leave nothing in the history.
 */
async function failingTask(
  client: Client,
  { workflowId, runId, attempts }: { workflowId: string; runId: string; attempts: number },
): Promise<FailingTask | null> {
  const { history } = await client.workflowService.getWorkflowExecutionHistoryReverse({
    namespace: client.options.namespace,
    execution: { workflowId, runId },
    maximumPageSize: 200,
  });
  const events = history?.events ?? [];
  const handled = events.findIndex(({ eventType }) => Number(eventType) === COMPLETED);
  const since = (handled < 0 ? events : events.slice(0, handled))
    .filter(({ eventType }) => [FAILED, TIMED_OUT].includes(Number(eventType)))
    .at(-1)?.eventTime;
  if (since == null) return null;
  return { attempts, since: new Date(Number(since.seconds) * 1000 + (since.nanos ?? 0) / 1e6).toISOString() };
}
