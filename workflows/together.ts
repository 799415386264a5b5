import { CancellationScope, isCancellation } from '@temporalio/workflow';

/** Side by side: the first failure cancels the others, and all have settled when it is thrown. */
export async function together<T>(branches: readonly (() => Promise<T>)[]): Promise<readonly T[]> {
  const failures: unknown[] = [];
  const results = await CancellationScope.cancellable(async () => {
    const scope = CancellationScope.current();
    return Promise.all(
      branches.map(async (branch) => {
        try {
          return await branch();
        } catch (error) {
          failures.push(error);
          scope.cancel();
          return undefined;
        }
      }),
    );
  });
  if (failures.length > 0) throw failures.find((error) => !isCancellation(error)) ?? failures[0];
  return results as T[];
}
