/** As a site file writes it: `90s`, `2m`, `1h30m`. @param durationMs whole seconds */
export function durationWords(durationMs: number): string {
  const seconds = Math.round(durationMs / 1000);
  const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const parts = [hours > 0 && `${hours}h`, minutes > 0 && `${minutes}m`, rest > 0 && `${rest}s`];
  return parts.filter((part) => part !== false).join('') || '0s';
}
