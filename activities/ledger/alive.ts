import { closeSync, futimesSync, openSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** Whoever owns a journal shows that it is neither suspended nor hung: the time of this file is never older. */
const touchEveryMs = 10_000;
/** After so long without a sign the owner counts as suspended or hung. */
const hungAfterMs = 60_000;

export interface Alive {
  stop(): void;
}

/** Touches `alive` in the state folder of a host until stopped. A disk that refuses it is no reason to end. */
export function showAlive(folder: string, now: () => number = Date.now): Alive {
  const touch = () => {
    try {
      touchFile(join(folder, 'alive'), now() / 1000);
    } catch {
      // Then `recover --if-overdue` acts, once it is overdue: what it should do beside a disk that fails.
    }
  };
  touch();
  const timer = setInterval(touch, touchEveryMs);
  timer.unref();
  return { stop: () => clearInterval(timer) };
}

/** How long ago the owner showed itself, in milliseconds; null: it never did. A clock set back makes it less than 0. */
export function aliveAgeMs(folder: string, nowMs: number): number | null {
  try {
    return nowMs - statSync(join(folder, 'alive')).mtimeMs;
  } catch {
    return null;
  }
}

export function isHung(ageMs: number | null): boolean {
  return ageMs === null || Math.abs(ageMs) > hungAfterMs;
}

function touchFile(file: string, seconds: number): void {
  const fd = openSync(file, 'a', 0o600);
  try {
    futimesSync(fd, seconds, seconds);
  } finally {
    closeSync(fd);
  }
}
