/** Of a site file and of the command line. */
export const durationPattern = /^(\d{1,4}h(\d{1,4}m)?(\d{1,6}s)?|\d{1,4}m(\d{1,6}s)?|\d{1,6}s)$/;
export const durationForm = 'a duration such as "90s", "2m" or "1h30m"';

/** Of words that have the pattern. */
export function durationMs(words: string): number {
  const unit = { h: 3_600_000, m: 60_000, s: 1000 };
  return [...words.matchAll(/(\d+)([hms])/g)].reduce(
    (sum, [, digits, letter]) => sum + Number(digits) * unit[letter as keyof typeof unit],
    0,
  );
}

/** As a site file writes it: `90s`, `2m`, `1h30m`. @param durationMs whole seconds */
export function durationWords(durationMs: number): string {
  const seconds = Math.round(durationMs / 1000);
  const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const parts = [hours > 0 && `${hours}h`, minutes > 0 && `${minutes}m`, rest > 0 && `${rest}s`];
  return parts.filter((part) => part !== false).join('') || '0s';
}
