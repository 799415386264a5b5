import { proxyActivities } from '@temporalio/workflow';

export { procedure } from '../workflows/procedure.ts';

/** What a step is measured against: the same number of activities that do nothing, one after the other. */
export async function bare({ count, taskQueue }: { count: number; taskQueue: string }): Promise<void> {
  const { nothing } = proxyActivities<{ nothing(): Promise<void> }>({ taskQueue, startToCloseTimeout: '1m' });
  for (let done = 0; done < count; done++) await nothing();
}
