import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Makes a folder and those above it that are missing; gives those that it made, the outermost first. One by one: the
 * recursive mkdir of Node 20 says ENOENT where the disk is full.
 */
export async function makeFolders(folder: string, mode = 0o700): Promise<readonly string[]> {
  try {
    await mkdir(folder, { mode });
    return [folder];
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return [];
    if (code !== 'ENOENT' || dirname(folder) === folder) throw error;
  }
  const above = await makeFolders(dirname(folder), mode);
  return [...above, ...(await makeFolders(folder, mode))];
}
