import type { Instant } from './plan.ts';

export interface Clock {
  readonly timezone: string;
  /** Instants further than a day from here carry their date. */
  readonly now: Instant;
  /** A night of minutes, as in the demo, is told in seconds. */
  readonly seconds?: boolean;
}

const dayMs = 24 * 60 * 60_000;
const shortNightMs = 60 * 60_000;

/** Of a run: in seconds where the whole night takes minutes. */
export function runClock(
  { since, upBy }: { readonly since: Instant; readonly upBy: Instant | null },
  clock: Pick<Clock, 'timezone' | 'now'>,
): Clock {
  return { ...clock, seconds: upBy !== null && Date.parse(upBy) - Date.parse(since) < shortNightMs };
}

/** `20:00` on the wall of the site, `21 Nov 20:00` when it is not of today or tonight. */
export function clockTime(instant: Instant, { timezone, now, seconds = false }: Clock): string {
  const isFar = Math.abs(Date.parse(instant) - Date.parse(now)) >= dayMs;
  const time = part(instant, timezone, {
    hour: '2-digit',
    minute: '2-digit',
    ...(seconds && { second: '2-digit' as const }),
    hourCycle: 'h23',
  });
  return isFar ? `${part(instant, timezone, { day: 'numeric', month: 'short' })} ${time}` : time;
}

/** Instants inside a text, as the wall of the site shows them. */
export function withClockTimes(text: string, clock: Clock): string {
  return text.replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, (instant) => clockTime(instant, clock));
}

function part(instant: Instant, timeZone: string, options: Intl.DateTimeFormatOptions): string {
  return formatterOf(timeZone, options).format(new Date(instant));
}

/** One costs more to make than a thousand to use, and a night tells the time in every line of its details. */
const formatters = new Map<string, Intl.DateTimeFormat>();

function formatterOf(timeZone: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = JSON.stringify([timeZone, options]);
  const formatter = formatters.get(key) ?? new Intl.DateTimeFormat('en-GB', { ...options, timeZone });
  formatters.set(key, formatter);
  return formatter;
}
