import { spawn } from 'node:child_process';
import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { replaceDurably } from './durable.ts';
import { startTimeOf } from './processes.ts';

export interface Lock {
  /** Settles if the lock is lost: its holder must end at once. */
  readonly lost: Promise<void>;
  release(): Promise<void>;
}

/** Thrown when another process holds the lock; `holder` is who wrote its name beside it. */
export class LockedError extends Error {
  override readonly name = 'LockedError';
  readonly holder: Holder | null;
  constructor(file: string, holder: Holder | null) {
    super(
      `${file} is held by ${holder === null ? 'another process' : `process ${holder.pid} (${holder.what})`}`,
    );
    this.holder = holder;
  }
}

export interface Holder {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat: with the pid, the identity of a process. */
  readonly startTime: string;
  readonly what: string;
}

/**
 * Node has no flock(2): a child of util-linux' `flock` holds it for as long as its standard input is open, so the
 * kernel frees it at once when this process dies, however it dies.
 *
 * @throws LockedError when it is held.
 */
export async function lockFile(file: string, what: string): Promise<Lock> {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  closeSync(openSync(file, 'a', 0o600));
  const child = spawn('flock', ['--nonblock', '--conflict-exit-code', '75', file, 'cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    detached: true,
  });
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
  const held = new Promise<'held'>((resolve) => child.stdout.once('data', () => resolve('held')));
  child.stdin.on('error', () => undefined);
  child.stdin.write('held\n');
  const outcome = await Promise.race([held, exited]);
  if (outcome !== 'held') throw new LockedError(file, readHolder(file));
  writeHolder(file, { pid: process.pid, startTime: startTimeOf(process.pid) ?? '', what });
  return {
    lost: exited.then(() => undefined),
    async release() {
      child.stdin.end();
      await exited;
    },
  };
}

/** A full disk keeps nobody from the lock: then the old name is written over, where it is, or stays. */
function writeHolder(file: string, holder: Holder): void {
  const text = JSON.stringify(holder);
  try {
    replaceDurably(`${file}.holder`, text);
  } catch {
    try {
      const fd = openSync(`${file}.holder`, 'r+');
      try {
        ftruncateSync(fd, writeSync(fd, text, 0));
      } finally {
        closeSync(fd);
      }
    } catch {
      // The holder is known by its lock alone.
    }
  }
}

function readHolder(file: string): Holder | null {
  try {
    return JSON.parse(readFileSync(`${file}.holder`, 'utf8')) as Holder;
  } catch {
    return null;
  }
}
