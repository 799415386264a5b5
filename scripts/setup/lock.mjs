import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder, locate } from '../components.mjs';
import { SetupError } from './run.mjs';

/**
 * Lets one set-up at a time work in the cache folder; the second waits, and says so. The kernel holds the lock for a
 * child that ends with this process, so that nothing stale can stay behind.
 */
export async function whileLocked(work) {
  makeCacheFolder();
  const file = join(cacheFolder(), '.lock');
  let holder = await hold(file, ['--nonblock']);
  if (!holder) {
    console.log('set-up: another set-up is at work in the same cache folder; waiting for it to end');
    holder = await hold(file, []);
  }
  try {
    return await work();
  } finally {
    holder.stdin.end();
  }
}

function makeCacheFolder() {
  try {
    mkdirSync(cacheFolder(), { recursive: true });
  } catch (error) {
    throw new SetupError(
      `${error.message}\nwhat to do: set COLDBACKUP_CACHE to a folder that can be written`,
    );
  }
}

function hold(file, options) {
  const flock = locate('flock');
  if (!flock)
    throw new SetupError(
      "flock is missing.\nwhat to do: install Debian's util-linux, or set COLDBACKUP_FLOCK",
    );
  return new Promise((fulfil, reject) => {
    const [program, ...args] = [...flock.command, ...options, file, 'sh', '-c', 'echo held; exec cat'];
    // In a group of its own, so that an interrupt from the terminal releases the lock only with this process.
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'], detached: true });
    child.once('error', reject);
    child.stdout.once('data', () => fulfil(child));
    child.once('close', () => fulfil(undefined));
  });
}
