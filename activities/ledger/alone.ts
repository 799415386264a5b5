import type { Instant } from '../../model/plan.ts';
import type { Limits } from '../../model/site.ts';
import type { Claim, JournalState } from './records.ts';

/** The latest up-by that an extension may ask for: so that with grace it stays within longest-down. */
export function latestUpBy({ at }: Pick<Claim, 'at'>, { graceMs, longestDownMs }: Limits): Instant {
  return new Date(Date.parse(at) + longestDownMs - graceMs).toISOString();
}

/** When the agent brings back alone: up-by as extended, plus grace; never beyond longest-down. null: nothing is held. */
export function aloneAtMs({ claim, upBy }: JournalState, { graceMs, longestDownMs }: Limits): number | null {
  if (claim === null) return null;
  return Math.min(Date.parse(upBy ?? claim.upBy) + graceMs, Date.parse(claim.at) + longestDownMs);
}
