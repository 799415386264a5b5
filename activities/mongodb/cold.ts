import { lstat, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createHash } from 'node:crypto';
import type { Site } from '../../model/site.ts';
import { startProcess, type RunningProcess } from '../system/command.ts';
import { waysOut } from './data-directory.ts';
import { memberOf } from './engine.ts';
import { refusal } from './errors.ts';

/** The hold on a data directory while it is copied: the server's own lock, so that no mongod can start on it. */
export interface ColdHold {
  readonly data: string;
  readonly what: string;
  readonly before: Readonly<Record<string, string>>;
  readonly isHeld: () => boolean;
  release(): Promise<void>;
}

/** A server that has exited cleanly leaves these, and an empty mongod.lock. */
const proofs = ['WiredTiger', 'WiredTiger.turtle', 'WiredTiger.wt', 'storage.bson', '_mdb_catalog.wt'];
const lockFile = 'mongod.lock';

/**
 * Right before the copy: the member exited cleanly (mongod.lock is there and empty; WiredTiger.turtle and storage.bson
 * are there) and its lock file is ours. Throws a failure that names what is not so. The lock goes with the agent: the
 * holder ends when this process does.
 */
export async function assertColdCopyable(
  site: Site,
  database: string,
  member: string,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<ColdHold> {
  const { data } = memberOf(site, database, member);
  const what = `${database} member ${member}`;
  await assertClean(data, what);
  const holder = await takeLock(join(data, lockFile), what, options.signal);
  try {
    await assertClean(data, what); // Between the first look and the lock it may have been started.
    const out = await waysOut(data);
    if (out.length > 0) throw refusal(`${what}: a copy of ${data} would miss files: ${out.join('; ')}.`);
    return { data, what, before: await evidence(data), ...holder };
  } catch (error) {
    await holder.release();
    throw error;
  }
}

/** Right after the copy, before `release`: nobody started the server or touched its files meanwhile. */
export async function assertStillCold(hold: ColdHold): Promise<void> {
  if (!hold.isHeld())
    throw refusal(`${hold.what}: the lock on ${join(hold.data, lockFile)} was lost during the copy.`);
  await assertClean(hold.data, hold.what);
  const after = await evidence(hold.data);
  const changed = Object.keys({ ...hold.before, ...after }).filter(
    (name) => hold.before[name] !== after[name],
  );
  if (changed.length > 0)
    throw refusal(
      `${hold.what}: ${changed.join(', ')} in ${hold.data} changed during the copy: it was not at rest.`,
    );
}

/** GNU tar patterns, relative to the data directory: what no restore needs. mongod.lock is empty, and stays in. */
export function copyExcludes(): readonly string[] {
  return ['./diagnostic.data', './*.sock', './*.pid'];
}

async function assertClean(data: string, what: string): Promise<void> {
  const lock = await lstat(join(data, lockFile)).catch(() => null);
  if (!lock)
    throw refusal(`${what}: there is no ${lockFile} in ${data}: it is no data directory of a mongod.`);
  if (lock.size > 0)
    throw refusal(
      `${what}: ${join(data, lockFile)} is not empty: the server still runs, or did not exit cleanly (SIGKILL, crash). Start it, let it recover, and stop it cleanly.`,
    );
  for (const name of proofs) {
    if (!(await lstat(join(data, name)).catch(() => null)))
      throw refusal(
        `${what}: there is no ${name} in ${data}: it is no whole data directory of a mongod with WiredTiger.`,
      );
  }
}

async function takeLock(
  file: string,
  what: string,
  signal?: AbortSignal,
): Promise<Pick<ColdHold, 'isHeld' | 'release'>> {
  // `cat` answers once the lock is there, and ends, and the lock with it, when this process does.
  const holder = startProcess(['flock', '--exclusive', '--nonblock', '--no-fork', file, 'cat'], {
    stdin: 'pipe',
    signal,
  });
  let ended = false;
  const done = holder.done.then(
    ({ exitCode, stderr }) => `exit code ${exitCode}${stderr === '' ? '' : `, ${stderr.trim()}`}`,
    (error: unknown) => String(error),
  );
  void done.then(() => (ended = true));
  holder.stdin?.on('error', () => undefined).write('held\n');
  const why = await Promise.race([answered(holder), done]);
  if (why !== null)
    throw refusal(
      `${what}: the lock of ${file} could not be taken (${why}): a mongod runs on that directory, or another copy does.`,
    );
  return {
    isHeld: () => !ended,
    async release() {
      holder.stdin?.end();
      await done;
    },
  };
}

function answered(holder: RunningProcess): Promise<null> {
  return new Promise((resolve) => holder.stdout.once('data', () => resolve(null)));
}

async function evidence(data: string): Promise<Record<string, string>> {
  const lines = await Promise.all(
    [lockFile, ...proofs].map(async (name) => {
      const path = join(data, name);
      const { ino, size, mtimeMs } = await lstat(path);
      const digest = createHash('sha256').update(name === 'WiredTiger.turtle' ? await readFile(path) : '');
      return [name, [ino, size, mtimeMs, digest.digest('hex')].join(' ')] as const;
    }),
  );
  return Object.fromEntries(lines);
}
