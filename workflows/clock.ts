import { CancellationScope, condition, sleep } from '@temporalio/workflow';
import type { Instant } from '../model/plan.ts';

/** Sleeps until an instant that may be moved meanwhile, or until there is no reason any more. */
export async function sleepUntil(
  at: () => Instant,
  summary: (at: Instant) => string,
  isOver: () => boolean = () => false,
): Promise<void> {
  for (let moved = true; moved && !isOver();) {
    const instant = at();
    const scope = new CancellationScope();
    try {
      moved = await scope.run(() =>
        Promise.race([
          sleep(Math.max(0, Date.parse(instant) - Date.now()), { summary: summary(instant) }).then(
            () => false,
          ),
          condition(() => at() !== instant || isOver()).then(() => true),
        ]),
      );
    } finally {
      scope.cancel();
    }
  }
}
