import { CancelledFailure } from '@temporalio/common';
import { inScope } from '../../model/ledger.ts';
import { signalGroup, startTimeOf } from '../system/processes.ts';
import type { Journal } from './journal.ts';
import { openEntries, runningJobs, type JobResult, type JobState } from './records.ts';
import { refuse } from './refusals.ts';

export interface JobContext {
  /** Aborted when the job is ended; what it wrote is invalid by then. */
  readonly signal: AbortSignal;
  readonly attempt: number;
  /** Recorded, so that a restarted agent can end what an earlier one left. */
  readonly onProcess: (pid: number) => void;
}

export interface Jobs {
  /** One job an id: attaches to the running one, gives the recorded result of an ended one, else starts it. */
  run<T extends JobResult>(
    id: string,
    position: string,
    work: (job: JobContext) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T>;
  /** Marks them invalid, kills them, and waits for none: a reader may hang. */
  end(scope: string, why: string): void;
}

/** Cancels that only mean "this attempt is over": the job goes on and the next attempt attaches. */
const detaching = new Set([
  'TIMED_OUT',
  'NOT_FOUND',
  'WORKER_SHUTDOWN',
  'HEARTBEAT_DETAILS_CONVERSION_FAILED',
]);

export function createJobs(journal: Journal, now: () => string): Jobs {
  const running = new Map<
    string,
    { position: string; controller: AbortController; result: Promise<JobResult>; ended: Promise<never> }
  >();
  endLeftovers(journal, now);

  return {
    /** An id is of one kind of work for ever: its result is too. */
    async run<T extends JobResult>(
      id: string,
      position: string,
      work: (job: JobContext) => Promise<T>,
      signal: AbortSignal,
    ): Promise<T> {
      const known = journal.state().jobs.get(id);
      if (known?.artifact) return known.artifact as T;
      const job = running.get(id) ?? begin(id, position, work);
      return Promise.race([
        job.result as Promise<T>,
        job.ended,
        interruption(signal, () => endOne(id, 'cancelled')),
      ]);
    },
    end(scope, why) {
      for (const [id, { position }] of running) if (inScope(position, scope)) endOne(id, why);
    },
  };

  function begin(id: string, position: string, work: (job: JobContext) => Promise<JobResult>) {
    const { sealed, jobs } = journal.state();
    if (sealed.some((scope) => inScope(position, scope)))
      throw refuse('Closed', `the scope of job ${id} is closed`);
    const attempt = (jobs.get(id)?.attempt ?? 0) + 1;
    journal.record({ r: 'job', id, position, attempt, at: now() });
    const controller = new AbortController();
    const result = work({
      signal: controller.signal,
      attempt,
      onProcess: (pid) =>
        journal.record({ r: 'process', job: id, pid, startTime: startTimeOf(pid) ?? '', at: now() }),
    }).then(
      (artifact) => settle(id, controller, artifact),
      (error: unknown) => fail(id, controller, error),
    );
    result.catch(() => undefined);
    const job = { position, controller, result, ended: endOf(controller.signal) };
    running.set(id, job);
    return job;
  }

  function settle(id: string, controller: AbortController, artifact: JobResult): JobResult {
    if (controller.signal.aborted)
      throw refuse('Closed', `job ${id} was ended: ${String(controller.signal.reason)}`);
    running.delete(id);
    journal.record({ r: 'job-end', id, artifact, at: now() });
    return artifact;
  }

  function fail(id: string, controller: AbortController, error: unknown): never {
    if (!controller.signal.aborted) {
      running.delete(id);
      journal.record({ r: 'job-end', id, artifact: null, why: String(error), at: now() });
    }
    throw error;
  }

  function endOne(id: string, why: string): void {
    const job = running.get(id);
    if (job === undefined) return;
    running.delete(id);
    journal.recordIfPossible({ r: 'job-end', id, artifact: null, why, at: now() });
    job.controller.abort(new Error(why));
    killProcesses(journal.state().jobs.get(id) ?? { processes: [] });
  }
}

export function killProcesses({ processes }: Pick<JobState, 'processes'>): void {
  for (const { pid, startTime } of processes) signalGroup(pid, startTime, 'SIGKILL');
}

/** What an agent that died left running reads files that are about to be in use again. */
function endLeftovers(journal: Journal, now: () => string): void {
  for (const entry of openEntries(journal.state())) if (entry.endedAt === null) killProcesses(entry);
  for (const job of runningJobs(journal.state())) {
    killProcesses(job);
    // A full disk must not keep an agent from starting: it is what brings back.
    journal.recordIfPossible({
      ...{ r: 'job-end', id: job.id, artifact: null, why: 'the agent was restarted', at: now() },
    });
  }
}

/** A job that was ended has failed at once, and may be tried again: what it was doing may take long to notice. */
function endOf(signal: AbortSignal): Promise<never> {
  const ended = new Promise<never>((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
  ended.catch(() => undefined);
  return ended;
}

function interruption(signal: AbortSignal, onCancel: () => void): Promise<never> {
  return new Promise((_resolve, reject) => {
    const stop = () => {
      const reason: unknown = signal.reason;
      if (!(reason instanceof CancelledFailure) || !detaching.has(reason.message)) onCancel();
      reject(reason instanceof Error ? reason : new Error(String(reason)));
    };
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
}
