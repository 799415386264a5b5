import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowFailedError } from '@temporalio/client';
import { ApplicationFailure, CancelledFailure, TerminatedFailure, TimeoutFailure } from '@temporalio/common';
import type { Report } from '../model/progress.ts';
import { RunLostError } from './errors.ts';
import { noAnswer, type Link } from './link.ts';

export interface RunRef {
  readonly workflowId: string;
  readonly runId: string;
}

const pauseMs = 1_000;

/**
 * Waits for the end of a run, through outages of the server, and gives its report whatever the outcome.
 * @throws RunLostError when the run was terminated.
 */
export async function resultOf(link: Link, run: RunRef, signal?: AbortSignal): Promise<Report> {
  for (;;) {
    signal?.throwIfAborted();
    try {
      return await reportOf(link, run);
    } catch (error) {
      if (noAnswer(error, link.address) === null) throw error;
      await sleep(pauseMs, undefined, { ...(signal && { signal }) });
    }
  }
}

/** Of a run that has ended, or once it has. */
export async function reportOf({ client }: Link, { workflowId, runId }: RunRef): Promise<Report> {
  try {
    return (await client.workflow.getHandle(workflowId, runId).result()) as Report;
  } catch (error) {
    if (!(error instanceof WorkflowFailedError)) throw error;
    const report = reportIn(error.cause);
    if (report !== null) return report;
    throw new RunLostError(workflowId, endedHow(error.cause));
  }
}

/** A run that is not complete ends as a failure that carries its report. */
function reportIn(cause: unknown): Report | null {
  if (!(cause instanceof ApplicationFailure || cause instanceof CancelledFailure)) return null;
  const report: unknown = cause.details?.[0];
  return isReport(report) ? report : null;
}

function isReport(value: unknown): value is Report {
  return typeof value === 'object' && value !== null && 'outcome' in value && 'steps' in value;
}

function endedHow(cause: unknown): string {
  if (cause instanceof TerminatedFailure) return 'terminated';
  if (cause instanceof TimeoutFailure) return 'ended by a timeout of Temporal';
  return `ended without a report (${cause instanceof Error ? cause.message : 'no reason given'})`;
}
