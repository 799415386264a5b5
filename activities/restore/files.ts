import { lstat } from 'node:fs/promises';
import type { Stats } from 'node:fs';

/** null: nothing is there. Any other failure is one. */
export async function lookAt(path: string): Promise<Stats | null> {
  try {
    return await lstat(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

export async function inodeOf(path: string): Promise<string | null> {
  return (await lookAt(path))?.ino.toString() ?? null;
}
