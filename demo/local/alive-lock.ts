import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { startProcess } from '../../activities/system/command.ts';
import type { Cleanup } from './cleanup.ts';

/**
 * Makes the file whose lock services under servicectl watch, and returns when it is taken: when this process goes, even
 * by SIGKILL, the lock goes, and they with it. A service that starts before somebody has it would end at once.
 */
export async function holdAliveLock(cleanup: Pick<Cleanup, 'add'>, file: string): Promise<void> {
  writeFileSync(file, '');
  const holder = startProcess(['flock', '--exclusive', '--no-fork', file, 'cat'], { stdin: 'pipe' });
  cleanup.add(async () => {
    holder.stdin?.end();
    await holder.done;
  });
  holder.stdin?.write('held\n');
  await once(holder.stdout, 'data');
}
