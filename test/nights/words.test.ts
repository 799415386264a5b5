import { expect, test } from '@jest/globals';
import { ActivityFailure, ApplicationFailure, RetryState } from '@temporalio/common';
import { failingAtOnce } from '../../activities/failures.ts';
import { StoreError } from '../../activities/stores/names.ts';
import type { AgentActivities } from '../../model/activities.ts';
import { messageOf } from '../../workflows/failures.ts';

test('a run gives the reason in the words of the agent, not of what lies under them', async () => {
  const said = 'Store vault (/backup) on host db-1 could not write a.tar.zst. The store is full: make room.';
  const full = new StoreError(said, { cause: new Error('ENOSPC: no space left on device, write') });
  const agent = failingAtOnce({
    copy: () => Promise.reject(full),
  } as unknown as AgentActivities);
  const failure: unknown = await agent.copy({} as never).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(ApplicationFailure);
  const seen = new ActivityFailure(
    ...(['Activity task failed', 'copy', '1', RetryState.NON_RETRYABLE_FAILURE, 'agent'] as const),
    failure as Error,
  );
  expect(messageOf(seen)).toBe(said);
});
