import type { Logger } from 'pino';
import type { Alert } from '../../model/watchdog.ts';

/** Said again while it lasts. */
const againMs = 60 * 60_000;

/** Tells of each alert when it begins, once an hour while it lasts, and when it is over. */
export function createAlertLog(logger: Logger): (alerts: readonly Alert[], nowMs: number) => void {
  const told = new Map<string, { alert: Alert; atMs: number }>();
  return (alerts, nowMs) => {
    const keys = new Set(alerts.map(keyOf));
    for (const alert of alerts) {
      const atMs = told.get(keyOf(alert))?.atMs;
      if (atMs !== undefined && nowMs - atMs < againMs) continue;
      told.set(keyOf(alert), { alert, atMs: nowMs });
      logger.error(fieldsOf(alert), alert.text);
    }
    for (const [key, { alert }] of told) {
      if (keys.has(key)) continue;
      told.delete(key);
      logger.info(fieldsOf(alert), 'over');
    }
  };
}

/** Words change from round to round (how long, which pid); what it is about does not. */
function keyOf({ site, kind, subject }: Alert): string {
  return [site, kind, subject].join('\0');
}

function fieldsOf({ site, kind, subject }: Alert) {
  return { site, alert: kind, subject };
}
