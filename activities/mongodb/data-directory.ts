import { lstat, readdir, realpath } from 'node:fs/promises';
import { join, sep } from 'node:path';

/**
 * What of a data directory a copy of it would miss: symbolic links that lead out of it, and other file systems mounted
 * inside. One line each.
 */
export async function waysOut(data: string): Promise<readonly string[]> {
  const root = await realpath(data);
  const { dev } = await lstat(root);
  return walk(root, root, dev);
}

async function walk(folder: string, root: string, dev: number): Promise<readonly string[]> {
  const found: string[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isSymbolicLink()) {
      const target = await realpath(path).catch(() => 'nowhere');
      if (!target.startsWith(root + sep)) found.push(`${path} is a link to ${target}`);
    } else if (entry.isDirectory()) {
      if ((await lstat(path)).dev === dev) found.push(...(await walk(path, root, dev)));
      else found.push(`${path} is another file system`);
    }
  }
  return found;
}
