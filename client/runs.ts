import { defaultPayloadConverter } from '@temporalio/common';
import type { WorkflowExecutionInfo } from '@temporalio/client';
import type { Outcome, Report } from '../model/progress.ts';
import type { Instant } from '../model/plan.ts';
import type { ProcedureInput } from '../workflows/messages.ts';
import { nameOfRun, NoSuchRunError, RunLostError } from './errors.ts';
import { soon, type Link } from './link.ts';
import { reportOf, type RunRef } from './reports.ts';

export interface RunSummary extends RunRef {
  readonly site: string;
  readonly procedure: string;
  /** `lost`: it ended without any of its code (terminated, timed out). */
  readonly state: 'running' | 'lost' | Outcome;
  readonly startedAt: Instant;
  readonly endedAt: Instant | null;
  readonly report: Report | null;
}

const procedures = `WorkflowType IN ('procedure', 'restore')`;
/** A run is listed a moment after it was started. */
const listedWithinMs = 1_000;
const pollMs = 100;

/**
 * The one active run that is meant; a run may have been started in the Temporal UI, under any id.
 * @throws NoSuchRunError when there is none, or several.
 */
export async function activeRun(
  link: Link,
  site: string,
  procedure?: string,
): Promise<RunRef & ProcedureInput> {
  const until = Date.now() + listedWithinMs;
  for (;;) {
    const found = await activeRuns(link, site, procedure);
    const [run, ...others] = found;
    if (run !== undefined && others.length === 0) return run;
    if (run !== undefined)
      throw new NoSuchRunError(
        `${found.length} runs of ${site} are active: ${found.map((one) => `${nameOfRun(one)} (${one.workflowId})`).join(', ')}. Say which procedure is meant`,
        found.length,
      );
    if (Date.now() > until) throw await noRun(link, site, procedure);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

export async function activeRuns(
  link: Link,
  site?: string,
  procedure?: string,
): Promise<readonly (RunRef & ProcedureInput)[]> {
  const found: (RunRef & ProcedureInput)[] = [];
  for (const info of await listed(link, `${procedures} AND ExecutionStatus = 'Running'`, 100)) {
    const input = await inputOf(link, info);
    if (input !== null && isMeant(input, site, procedure) && (await stillRuns(link, info)))
      found.push({ ...input, workflowId: info.workflowId, runId: info.runId });
  }
  return found;
}

/** The list of what runs may be some seconds behind. */
async function stillRuns({ client }: Link, { workflowId, runId }: RunRef): Promise<boolean> {
  const { status } = await client.workflow.getHandle(workflowId, runId).describe();
  return status.name === 'RUNNING';
}

/** Running and ended, the newest first. */
export async function recentRuns(
  link: Link,
  site: string | undefined,
  limit: number,
): Promise<readonly RunSummary[]> {
  const { client } = link;
  const found: RunSummary[] = [];
  for await (const info of client.workflow.list({ query: procedures, pageSize: 50 })) {
    const input = await inputOf(link, info);
    if (input === null || !isMeant(input, site)) continue;
    found.push(await summaryOf(link, info, input));
    if (found.length >= limit) break;
  }
  return found.sort((a, b) => b.startedAt.localeCompare(a.startedAt));
}

/** Whether a run began at this instant or later, however it ended. */
export async function startedSince(
  link: Link,
  site: string,
  procedure: string,
  from: Instant,
): Promise<boolean> {
  for (const info of await listed(link, `${procedures} AND StartTime >= '${from}'`, 200)) {
    const input = await inputOf(link, info);
    if (input !== null && isMeant(input, site, procedure)) return true;
  }
  return false;
}

async function summaryOf(
  link: Link,
  info: WorkflowExecutionInfo,
  { site, procedure }: ProcedureInput,
): Promise<RunSummary> {
  const { workflowId, runId, startTime, closeTime } = info;
  const times = { startedAt: startTime.toISOString(), endedAt: closeTime?.toISOString() ?? null };
  const run = { site, procedure, workflowId, runId, ...times };
  if (info.status.name === 'RUNNING') return { ...run, state: 'running', report: null };
  try {
    const report = await soon(link, () => reportOf(link, run));
    return { ...run, state: report.outcome, report };
  } catch (error) {
    if (error instanceof RunLostError) return { ...run, state: 'lost', report: null };
    throw error;
  }
}

/** What a run was started with: the first event of its history, which needs no worker. null: not a run of ours. */
async function inputOf(link: Link, { workflowId, runId }: RunRef): Promise<ProcedureInput | null> {
  const { client } = link;
  const { history } = await soon(link, () =>
    client.workflowService.getWorkflowExecutionHistory({
      namespace: client.options.namespace,
      execution: { workflowId, runId },
      maximumPageSize: 1,
    }),
  );
  const started = history?.events?.[0]?.workflowExecutionStartedEventAttributes;
  const payload = started?.input?.payloads?.[0];
  const input: unknown = payload ? defaultPayloadConverter.fromPayload(payload) : null;
  if (started?.workflowType?.name === 'restore')
    return isRestoreInput(input) ? { site: input.site, procedure: 'restore', again: true } : null;
  return isProcedureInput(input) ? input : null;
}

function isProcedureInput(value: unknown): value is ProcedureInput {
  if (typeof value !== 'object' || value === null) return false;
  const { site, procedure } = value as Record<string, unknown>;
  return typeof site === 'string' && typeof procedure === 'string';
}

function isRestoreInput(value: unknown): value is Pick<ProcedureInput, 'site'> {
  return typeof value === 'object' && value !== null && typeof (value as ProcedureInput).site === 'string';
}

function isMeant(input: ProcedureInput, site?: string, procedure?: string): boolean {
  return (
    (site === undefined || input.site === site) && (procedure === undefined || input.procedure === procedure)
  );
}

async function noRun(link: Link, site: string, procedure?: string): Promise<NoSuchRunError> {
  const others = await activeRuns(link);
  const list = others.length === 0 ? 'none at all' : others.map(nameOfRun).join(', ');
  const wanted = procedure === undefined ? site : nameOfRun({ site, procedure });
  return new NoSuchRunError(
    `no run of ${wanted} is active (active: ${list}). Earlier runs: coldbackup runs ${site}`,
    0,
  );
}

async function listed(link: Link, query: string, atMost: number): Promise<readonly WorkflowExecutionInfo[]> {
  return soon(link, async () => {
    const found: WorkflowExecutionInfo[] = [];
    for await (const info of link.client.workflow.list({ query, pageSize: atMost })) {
      found.push(info);
      if (found.length >= atMost) break;
    }
    return found;
  });
}
