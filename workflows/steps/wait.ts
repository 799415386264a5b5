import { ApplicationFailure, ActivityFailure, TimeoutFailure } from '@temporalio/common';
import { sleep } from '@temporalio/workflow';
import type { WaitResult } from '../../model/activities.ts';
import type { Instant, PlanAsk, PlanWait } from '../../model/plan.ts';
import type { WaitEnd } from '../../model/site.ts';
import { agent } from '../agents.ts';
import { ask } from '../questions.ts';
import { planOf, showNow, type Run, type StepResult } from '../run.ts';

/** For the agent's answer after `until` has passed. */
const allowanceMs = 30_000;

export async function wait(run: Run, step: PlanWait): Promise<StepResult> {
  const { otherwise } = step;
  const text = `waiting for ${describe(step)}`;
  const then = step.until === null ? null : words(otherwise);
  const done = showNow(run, step.id, { step: step.id, text, until: step.until ?? clockOf(step), then });
  try {
    const { outcome, last } = await observe(run, step, step.until);
    if (outcome === 'reached') return { outcome: 'done', detail: last };
    if (typeof otherwise === 'string') return giveUp(step, otherwise, last);
    return await askAbout(run, step, otherwise, last);
  } finally {
    done();
  }
}

/** The wait goes on while the question is open: what it waits for may still come. */
async function askAbout(run: Run, step: PlanWait, asked: PlanAsk, last: string): Promise<StepResult> {
  const { ask: text, by, else: otherwise } = asked;
  const question = {
    step: step.id,
    text: `${text} (${describe(step)} not reached: ${last})`,
    answers: ['continue', 'fail'],
    by,
    else: words(otherwise),
  };
  const end = await ask(run, question, () => observe(run, step, by));
  if ('answer' in end) return giveUp(step, end.answer === 'continue' ? 'continue' : 'fail', last);
  const { outcome, last: seen } = end.became;
  return outcome === 'reached' ? { outcome: 'done', detail: seen } : giveUp(step, otherwise, seen);
}

function giveUp(step: PlanWait, how: WaitEnd, last: string): StepResult {
  if (how === 'continue') return { outcome: 'gave-up', detail: `${describe(step)} not reached: ${last}` };
  throw ApplicationFailure.nonRetryable(
    `${describe(step)} was not reached until ${step.until ?? ''}: ${last}`,
    'OutOfTime',
  );
}

function words(otherwise: PlanWait['otherwise']): string {
  if (typeof otherwise !== 'string') return `ask: ${otherwise.ask}`;
  return otherwise === 'fail' ? 'fail: all is brought back' : 'go on';
}

async function observe(run: Run, step: PlanWait, deadline: Instant | null): Promise<WaitResult> {
  const { site } = planOf(run);
  const { for: what } = step;
  if (what.kind === 'clock') {
    await sleep(Math.max(0, Date.parse(what.at) - Date.now()), {
      summary: `step ${step.id}: until ${what.at}`,
    });
    return { outcome: 'reached', last: what.at };
  }
  const until: Instant = deadline ?? planOf(run).upBy;
  const withinMs = Math.max(0, Date.parse(until) - Date.now()) + allowanceMs;
  const { waitForJob, waitForCount } = agent(site, what.host, {
    summary: `wait for ${describe(step)} until ${until}`,
    withinMs,
    allWithinMs: withinMs,
    attempts: Number.POSITIVE_INFINITY,
  });
  try {
    return what.kind === 'job'
      ? await waitForJob({ site, job: what.job, beganAfter: what.beganAfter, until })
      : await waitForCount({ site, count: what.count, reaches: what.reaches, until });
  } catch (error) {
    if (error instanceof ActivityFailure && error.cause instanceof TimeoutFailure)
      return { outcome: 'out-of-time', last: `the agent of ${what.host} did not answer` };
    throw error;
  }
}

function clockOf({ for: what }: PlanWait): Instant | null {
  return what.kind === 'clock' ? what.at : null;
}

function describe({ for: what }: PlanWait): string {
  if (what.kind === 'clock') return what.at;
  return what.kind === 'job' ? `job ${what.job}` : `${what.count} = ${what.reaches}`;
}
