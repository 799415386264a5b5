import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowFailedError } from '@temporalio/client';
import {
  ApplicationFailure,
  defaultPayloadConverter,
  TerminatedFailure,
  TimeoutFailure,
} from '@temporalio/common';
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
export async function reportOf(link: Link, run: RunRef): Promise<Report> {
  const { workflowId, runId } = run;
  try {
    return (await link.client.workflow.getHandle(workflowId, runId).result()) as Report;
  } catch (error) {
    if (!(error instanceof WorkflowFailedError)) throw error;
    const report = reportIn(error.cause) ?? (await lastWritten(link, run));
    if (report !== null) return report;
    throw new RunLostError(workflowId, endedHow(error.cause));
  }
}

/** A run that is not complete ends as a failure that carries its report. */
function reportIn(cause: unknown): Report | null {
  if (!(cause instanceof ApplicationFailure)) return null;
  const report: unknown = cause.details?.[0];
  return isReport(report) ? report : null;
}

/** The end of a run that was cancelled in Temporal carries nothing (SDK 1.24): its report is what it last had written. */
async function lastWritten({ client }: Link, { workflowId, runId }: RunRef): Promise<Report | null> {
  const { history } = await client.workflowService.getWorkflowExecutionHistoryReverse({
    namespace: client.options.namespace,
    execution: { workflowId, runId },
    maximumPageSize: 50,
  });
  const written = history?.events?.find(
    ({ activityTaskScheduledEventAttributes: scheduled }) => scheduled?.activityType?.name === 'writeReport',
  );
  const payload = written?.activityTaskScheduledEventAttributes?.input?.payloads?.[0];
  const report: unknown = payload ? defaultPayloadConverter.fromPayload(payload) : null;
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
