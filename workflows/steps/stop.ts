import type { PlanStop } from '../../model/plan.ts';
import { makeChange } from '../ledger.ts';
import { showNow, type Run, type StepResult } from '../run.ts';

/** One service after the other, each gone before the next; on several hosts at once. */
export async function stop(run: Run, step: PlanStop): Promise<StepResult> {
  for (const [index, { service, hosts, stopWithinMs }] of step.services.entries()) {
    const done = showNow(run, step.id, {
      step: step.id,
      text: `stopping ${service} on ${hosts.join(', ')}`,
      until: null,
      then: null,
    });
    try {
      await Promise.all(
        hosts.map((host) =>
          makeChange(run, {
            host,
            position: `${step.id}/${index}/${host}`,
            change: { kind: 'service-stopped', service },
            withinMs: stopWithinMs,
            step: step.id,
          }),
        ),
      );
    } finally {
      done();
    }
  }
  return { outcome: 'done' };
}
