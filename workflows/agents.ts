import { ActivityCancellationType, proxyActivities, type ActivityInterfaceFor } from '@temporalio/workflow';
import type { AgentActivities, ControlActivities } from '../model/activities.ts';
import type { HostName } from '../model/site.ts';
import { agentQueue, controlQueue } from './messages.ts';

/** How long an agent may take to pick a task up before the host counts as not answering. */
export const answerWithinMs = 60_000;
/** Beats come every 2 s; an agent that was killed is noticed after this. */
const heartbeatMs = 20_000;
/** Of a copy, which attaches again after an outage: longer than a server's restart takes, as it has three attempts. */
const copyHeartbeatMs = 60_000;

export interface CallOptions {
  /** For people, in the UI's history. */
  readonly summary: string;
  /** Of one attempt. */
  readonly withinMs: number;
  /** Of all attempts together; default: three attempts. */
  readonly allWithinMs?: number;
  readonly attempts?: number;
  /** How long the agent may take to pick the task up; default: {@link answerWithinMs}. */
  readonly takenUpWithinMs?: number;
  readonly copy?: boolean;
}

export function agent(
  site: string,
  host: HostName,
  options: CallOptions,
): ActivityInterfaceFor<AgentActivities> {
  const { summary, withinMs, allWithinMs, attempts = 3, copy = false } = options;
  const { takenUpWithinMs = answerWithinMs } = options;
  return proxyActivities<AgentActivities>({
    taskQueue: agentQueue(site, host),
    summary: `${host}: ${summary}`,
    startToCloseTimeout: withinMs,
    ...(allWithinMs === undefined
      ? { scheduleToStartTimeout: takenUpWithinMs }
      : { scheduleToCloseTimeout: allWithinMs }),
    heartbeatTimeout: copy ? copyHeartbeatMs : heartbeatMs,
    retry: {
      maximumAttempts: attempts,
      initialInterval: 1_000,
      backoffCoefficient: 2,
      maximumInterval: 30_000,
    },
    cancellationType: ActivityCancellationType.TRY_CANCEL,
  });
}

export function control(summary: string): ActivityInterfaceFor<ControlActivities> {
  return proxyActivities<ControlActivities>({
    taskQueue: controlQueue,
    summary,
    startToCloseTimeout: 60_000,
    retry: { maximumAttempts: 5 },
  });
}
