import { ApplicationFailure } from '@temporalio/common';
import type { AgentActivities } from '../model/activities.ts';
import { ArchiveError } from './archive/survey.ts';
import { StoreError } from './stores/names.ts';

/**
 * What no retry can cure fails at once: a copy that would fail three times keeps services down three times as long.
 * The failure has the error's name as its type, and its message.
 */
export function failingAtOnce(activities: AgentActivities): AgentActivities {
  return Object.fromEntries(
    Object.entries(activities).map(([name, activity]: [string, (input: never) => Promise<unknown>]) => [
      name,
      async (input: never) => {
        try {
          return await activity(input);
        } catch (error) {
          throw asFailure(error);
        }
      },
    ]),
  ) as unknown as AgentActivities;
}

function asFailure(error: unknown): unknown {
  if (!(error instanceof ArchiveError || error instanceof StoreError)) return error;
  const { message, name, mayPass } = error;
  return ApplicationFailure.create({ message, type: name, nonRetryable: !mayPass, cause: error });
}
