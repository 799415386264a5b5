import { ActivityFailure, TimeoutFailure } from '@temporalio/common';
import { workflowInfo } from '@temporalio/workflow';
import type { HostName } from '../model/site.ts';
import { agent } from './agents.ts';
import { planOf, showNow, type Run } from './run.ts';
import { together } from './together.ts';

/** For the agent's answer after the deadline. */
const allowanceMs = 30_000;

/**
 * Waits until no other run holds a host of this one, where the procedure says so. Nothing is held meanwhile; what is not
 * free in time is a no-go of the preflight that follows, as it is without waiting.
 */
export async function untilFree(run: Run): Promise<void> {
  const { holds, waitForHoldsUntil: until } = planOf(run);
  if (until === undefined) return;
  await together(
    Object.keys(holds)
      .sort()
      .map((host) => () => freeHost(run, host, until)),
  );
}

async function freeHost(run: Run, host: HostName, until: string): Promise<void> {
  const { site } = planOf(run);
  const withinMs = Math.max(0, Date.parse(until) - Date.now()) + allowanceMs;
  const done = showNow(run, `held ${host}`, {
    step: 'preflight',
    text: `waiting until no other run holds ${host}`,
    until,
    then: 'no-go: nothing is changed',
  });
  const { waitUntilFree } = agent(site, host, {
    summary: `wait until no other run holds it, until ${until}`,
    withinMs,
    allWithinMs: withinMs,
    attempts: Number.POSITIVE_INFINITY,
  });
  try {
    await waitUntilFree({ site, host, workflowId: workflowInfo().workflowId, until });
  } catch (error) {
    // An agent that does not answer is what preflight says next.
    if (!(error instanceof ActivityFailure && error.cause instanceof TimeoutFailure)) throw error;
  } finally {
    done();
  }
}
