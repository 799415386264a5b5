import type { Site } from '../../model/site.ts';
import { secondsBetween } from '../../model/window.ts';
import { durationWords } from '../duration.ts';
import type { Finding } from '../problem.ts';

const HOUR_MS = 3_600_000;

/** An agent must not bring back alone before up-by: longest-down covers every window that the clock fixes. */
export function limitRules(site: Site): readonly Finding[] {
  const { graceMs, longestDownMs } = site.limits;
  return Object.entries(site.procedures).flatMap(([name, { start, upBy }]) => {
    if (start === undefined || start.at === upBy) return [];
    const windowMs = secondsBetween(start.at, upBy) * 1000;
    // One night a year is an hour longer.
    const neededMs = windowMs + HOUR_MS + graceMs;
    return neededMs <= longestDownMs
      ? []
      : [
          {
            path: ['procedures', name, 'up-by'],
            message: `limits.longest-down ${durationWords(longestDownMs)} does not cover ${start.at} to ${upBy} and grace ${durationWords(graceMs)}: agents would bring back before up-by`,
            hint: `set limits.longest-down to ${durationWords(neededMs)} or more (an hour is for the night when clocks go back)`,
          },
        ];
  });
}
