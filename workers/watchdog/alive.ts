import { writeFile } from 'node:fs/promises';
import type { Logger } from 'pino';
import type { Instant } from '../../model/plan.ts';

export interface Alive {
  /** A file that is written after each whole round; absent: none. */
  readonly touch?: string;
  /** A URL that is got after each whole round; absent: none. */
  readonly ping?: string;
}

const pingWithinMs = 10_000;

/** Whoever watches the watchdog sees that it has looked at everything. What cannot be told is logged, and told next time. */
export async function tellAlive({ touch, ping }: Alive, now: Instant, logger: Logger): Promise<void> {
  await Promise.all([
    touch === undefined ||
      writeFile(touch, `${now}\n`).catch((error: unknown) =>
        logger.error(
          { file: touch, err: error },
          'the file that says that the watchdog lives was not written',
        ),
      ),
    ping === undefined ||
      pinged(ping).catch((error: unknown) =>
        logger.warn({ url: originOf(ping), err: error }, 'the URL that the watchdog pings did not answer'),
      ),
  ]);
}

async function pinged(url: string): Promise<void> {
  const response = await fetch(url, { signal: AbortSignal.timeout(pingWithinMs) });
  await response.body?.cancel();
  if (!response.ok) throw new Error(`it answered ${response.status}`);
}

/** Such a URL's path often is its secret. */
function originOf(url: string): string {
  return new URL(url).origin;
}
