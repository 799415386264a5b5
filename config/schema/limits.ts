import type { Limits } from '../../model/site.ts';
import { strict } from './expect.ts';
import { duration } from './scalars.ts';

const MINUTE_MS = 60_000;

export const DEFAULT_LIMITS: Limits = {
  graceMs: 10 * MINUTE_MS,
  longestDownMs: 24 * 60 * MINUTE_MS,
  giveUpAfterMs: 120 * MINUTE_MS,
};

export const limitsSchema = strict({
  grace: duration
    .exactOptional()
    .describe('So long after up-by each agent brings its own host back, alone. Default: 10m.'),
  'longest-down': duration
    .exactOptional()
    .describe(
      "From the start of a run's changes on a host: the longest that anything stays down there, whatever is extended. Default: 24h.",
    ),
  'give-up-after': duration
    .exactOptional()
    .describe('So long after up-by a run stops trying to bring back, and reports what is down. Default: 2h.'),
}).transform((raw): Limits => ({
  graceMs: raw.grace ?? DEFAULT_LIMITS.graceMs,
  longestDownMs: raw['longest-down'] ?? DEFAULT_LIMITS.longestDownMs,
  giveUpAfterMs: raw['give-up-after'] ?? DEFAULT_LIMITS.giveUpAfterMs,
}));
