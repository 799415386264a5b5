import { ApplicationFailure } from '@temporalio/common';
import type { WaitActivities, WaitResult } from '../../model/activities.ts';
import type { Instant } from '../../model/plan.ts';
import type { HostName, Job, Site } from '../../model/site.ts';
import type { ManagerOptions } from '../services/systemctl.ts';
import { poll } from '../system/poll.ts';
import { observeJob } from './observe-job.ts';
import type { JobObservation } from './observe-job.ts';
import { readCount } from './read-count.ts';

export interface WaitDeps extends ManagerOptions {
  readonly site: Site;
  readonly host: HostName;
  /** Keeps the activity alive, and shows the last value seen. */
  readonly heartbeat: (details: unknown) => void;
  /** Of the activity that runs. */
  readonly signal: () => AbortSignal;
}

/** Heartbeat details of a wait. */
export interface WaitProgress {
  readonly last: string;
}

const pauses = { firstMs: 1_000, longestMs: 5_000 };

export function createWaitActivities(deps: WaitDeps): WaitActivities {
  return {
    waitForJob: async ({ site, job, beganAfter, until }) => {
      const known = find(deps, site, 'job', deps.site.jobs, job);
      let seen: JobObservation | undefined;
      const ask = async (): Promise<Answer> => {
        const now = await observeJob(known, { ...deps, signal: deps.signal() });
        seen = isForgotten(known, now) && seen !== undefined ? endedWell(seen) : now;
        return jobAnswer(seen, beganAfter, (why) =>
          ApplicationFailure.nonRetryable(
            `The job ${job} on ${deps.host} ended badly: ${why}. See its log; once it has been run again and ended well, retry the step.`,
            'JobFailed',
          ),
        );
      };
      return waitUntil(deps, until, ask);
    },
    waitForCount: async ({ site, count, reaches, until }) => {
      const known = find(deps, site, 'count', deps.site.counts, count);
      const ask = async (): Promise<Answer> => {
        const value = await readCount(known, deps.signal());
        return { reached: value === reaches, last: String(value) };
      };
      return waitUntil(deps, until, ask);
    },
  };
}

interface Answer {
  readonly reached: boolean;
  readonly last: string;
}

/** A source that fails for a while is shown, and asked again until the wait is over. */
async function waitUntil(deps: WaitDeps, until: Instant, ask: () => Promise<Answer>): Promise<WaitResult> {
  const signal = deps.signal();
  let last = 'not asked yet';
  const reached = await poll(
    async () => {
      const answer = await ask().catch((error: unknown): Answer => {
        if (error instanceof ApplicationFailure) throw error;
        signal.throwIfAborted();
        return {
          reached: false,
          last: `${error instanceof Error ? error.message : String(error)} (on ${deps.host})`,
        };
      });
      last = answer.last;
      deps.heartbeat({ last } satisfies WaitProgress);
      return answer.reached ? true : undefined;
    },
    { ...pauses, until: performance.now() + (Date.parse(until) - Date.now()), signal },
  );
  return { outcome: reached === true ? 'reached' : 'out-of-time', last };
}

/**
 * systemd forgets an inactive unit that neither a timer nor a target refers to, at once, but keeps a failed one: one
 * that was seen here and is forgotten has ended well.
 */
function isForgotten({ source }: Job, now: JobObservation): boolean {
  return source.kind === 'systemd' && now.began === null;
}

function endedWell(seen: JobObservation): JobObservation {
  return seen.began === null || seen.ended !== null
    ? seen
    : { ...seen, ended: new Date().toISOString(), ok: true };
}

/** Instants of systemd are whole seconds: a job that began in the second of `beganAfter` counts. */
function jobAnswer(job: JobObservation, beganAfter: Instant, failed: (why: string) => Error): Answer {
  if (job.began === null || Date.parse(job.began) < Math.floor(Date.parse(beganAfter) / 1_000) * 1_000) {
    const before = job.began === null ? 'never ran' : `last began ${job.began}`;
    return { reached: false, last: `not begun since ${beganAfter} (${before})` };
  }
  if (job.ended === null) return { reached: false, last: `running since ${job.began}` };
  if (job.ok !== true) throw failed(`began ${job.began}, ended ${job.ended}: ${job.detail}`);
  return { reached: true, last: `began ${job.began}, ended well ${job.ended}` };
}

function find<T extends { readonly host: HostName }>(
  deps: WaitDeps,
  site: string,
  what: 'job' | 'count',
  known: Readonly<Record<string, T>>,
  name: string,
): T {
  if (site !== deps.site.site) {
    throw ApplicationFailure.nonRetryable(
      `${deps.host} belongs to the site ${deps.site.site}, not ${site}.`,
      'UnknownName',
    );
  }
  const found = Object.hasOwn(known, name) ? known[name] : undefined;
  if (found?.host === deps.host) return found;
  const here = Object.keys(known).filter((each) => known[each]?.host === deps.host);
  throw ApplicationFailure.nonRetryable(
    `The site file on ${deps.host} names no ${what} ${name} for this host; it names ${here.join(', ') || 'none'}. ` +
      'Bring the same site file to all hosts.',
    'UnknownName',
  );
}
