import { setTimeout as sleep } from 'node:timers/promises';
import { defaultPayloadConverter } from '@temporalio/common';
import type { WorkflowExecutionDescription } from '@temporalio/client';
import type { CopyProgress } from '../model/activities.ts';
import type { Plan } from '../model/plan.ts';
import type { Progress } from '../model/progress.ts';
import { planQuery, progressQuery } from '../workflows/messages.ts';
import { UnreachableError } from './errors.ts';
import { soon, type Link } from './link.ts';
import type { RunRef } from './reports.ts';

/** A run as it stands. */
export interface Watched {
  readonly progress: Progress;
  /** From the heartbeats of the copies that run. */
  readonly copies: readonly CopyProgress[];
  /** Likewise of the waits, in the order in which they began. */
  readonly waits: readonly WaitSeen[];
  /** Why this is older than it should be: nobody answers; null: it is fresh. */
  readonly trouble: string | null;
}

export interface WaitSeen {
  readonly kind: 'job' | 'count';
  /** What the agent saw last: `3`, `running since 00:00`. */
  readonly last: string;
}

export interface WatchOptions {
  /** Default 1000. */
  readonly everyMs?: number;
  readonly signal?: AbortSignal;
}

export function progressOf(link: Link, { workflowId, runId }: RunRef): Promise<Progress> {
  return soon(link, () => link.client.workflow.getHandle(workflowId, runId).query(progressQuery));
}

export function planOfRun(link: Link, { workflowId, runId }: RunRef): Promise<Plan | null> {
  return soon(link, () => link.client.workflow.getHandle(workflowId, runId).query(planQuery));
}

/** The run as it stands now, with its copies. */
export async function lookAt(link: Link, run: RunRef): Promise<Watched & { readonly ended: boolean }> {
  const handle = link.client.workflow.getHandle(run.workflowId, run.runId);
  const description = await soon(link, () => handle.describe());
  // After the description: the progress of a run that has ended is its last.
  const progress = await progressOf(link, run);
  const ended = description.status.name !== 'RUNNING';
  return { progress, copies: copiesOf(description), waits: waitsOf(description), trouble: null, ended };
}

/** Looks at the run until it has ended, through outages of control and server; once it has been seen at all. */
export async function* watchRun(
  link: Link,
  run: RunRef,
  { everyMs = 1_000, signal }: WatchOptions = {},
): AsyncGenerator<Watched, void> {
  for (let last: Progress | null = null; ;) {
    signal?.throwIfAborted();
    try {
      const { ended, ...seen } = await lookAt(link, run);
      last = seen.progress;
      yield seen;
      if (ended) return;
    } catch (error) {
      if (!(error instanceof UnreachableError) || last === null) throw error;
      if (await hasEnded(link, run)) return;
      yield { progress: last, copies: [], waits: [], trouble: error.message };
    }
    await sleep(everyMs, undefined, { ...(signal && { signal }) });
  }
}

async function hasEnded(link: Link, { workflowId, runId }: RunRef): Promise<boolean> {
  try {
    const { status } = await soon(link, () => link.client.workflow.getHandle(workflowId, runId).describe());
    return status.name !== 'RUNNING';
  } catch (error) {
    if (error instanceof UnreachableError) return false;
    throw error;
  }
}

function copiesOf(description: WorkflowExecutionDescription): readonly CopyProgress[] {
  return beatsOf(description)
    .flatMap(({ details }) => (isCopyProgress(details) ? [details] : []))
    .sort((a, b) => a.artifact.localeCompare(b.artifact));
}

function waitsOf(description: WorkflowExecutionDescription): readonly WaitSeen[] {
  return beatsOf(description).flatMap(({ activity, details }) => {
    const kind = waitKinds[activity];
    return kind !== undefined && hasLast(details) ? [{ kind, last: details.last }] : [];
  });
}

const waitKinds: Readonly<Record<string, WaitSeen['kind']>> = { waitForJob: 'job', waitForCount: 'count' };

/** Of all activities that run, in the order in which they were scheduled (ids count up). */
function beatsOf({
  raw,
}: WorkflowExecutionDescription): readonly { readonly activity: string; readonly details: unknown }[] {
  return [...(raw.pendingActivities ?? [])]
    .sort((a, b) => Number(a.activityId) - Number(b.activityId))
    .map(({ activityType, heartbeatDetails }) => {
      const payload = heartbeatDetails?.payloads?.[0];
      return {
        activity: activityType?.name ?? '',
        details: payload ? defaultPayloadConverter.fromPayload(payload) : null,
      };
    });
}

function isCopyProgress(value: unknown): value is CopyProgress {
  return typeof value === 'object' && value !== null && 'artifact' in value && 'readBytes' in value;
}

function hasLast(value: unknown): value is { readonly last: string } {
  return typeof value === 'object' && value !== null && 'last' in value && typeof value.last === 'string';
}
