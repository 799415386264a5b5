import { chmodSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder } from '../components.mjs';

const prefix = '.unfinished-';

/**
 * Fills a folder of the cache: `fill` works in a folder beside it, which takes its name only when all is well, so that
 * nobody ever finds half an installation.
 */
export async function fillFolder(name, fill) {
  const cache = cacheFolder();
  mkdirSync(cache, { recursive: true });
  const unfinished = mkdtempSync(join(cache, `${prefix}${name}-`));
  try {
    await fill(unfinished);
    chmodSync(unfinished, 0o755); // a temporary folder is its maker's only; servers run as other users too
    rmSync(join(cache, name), { recursive: true, force: true });
    renameSync(unfinished, join(cache, name));
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
}

/** Removes what set-ups that were killed have left. Only for the holder of the lock. */
export function removeUnfinished() {
  const cache = cacheFolder();
  for (const name of readdirSync(cache).filter((entry) => entry.startsWith(prefix)))
    rmSync(join(cache, name), { recursive: true, force: true });
}
