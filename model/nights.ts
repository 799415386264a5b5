import { Temporal } from 'temporal-polyfill';
import type { Instant } from './plan.ts';
import type { Start } from './site.ts';
import { isNight, localInstant, notAfter } from './window.ts';

/** Not for workflow code. A night that was to begin. */
export interface PastNight {
  readonly night: string;
  readonly startAt: Instant;
  readonly latestStart: Instant;
}

const farDays = 32;

/** The newest night that is over in the sense of `isOver`; null: none in a month. */
export function newestNight(
  timezone: string,
  start: Start,
  now: Instant,
  isOver: (night: PastNight) => boolean,
): PastNight | null {
  const today = Temporal.Instant.from(now).toZonedDateTimeISO(timezone).toPlainDate();
  for (let days = 0; days <= farDays; days++) {
    const date = today.subtract({ days });
    if (!isNight(date, start)) continue;
    const at = localInstant(date, start.at, timezone);
    const night = {
      night: date.toString(),
      startAt: instant(at),
      latestStart: instant(notAfter(at, start)),
    };
    if (isOver(night)) return night;
  }
  return null;
}

function instant(time: Temporal.ZonedDateTime): Instant {
  return time.toInstant().toString({ smallestUnit: 'millisecond' });
}
