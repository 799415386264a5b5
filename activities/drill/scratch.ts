import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostName, Site } from '../../model/site.ts';
import { makeFolders } from '../system/folders.ts';

/** All that an agent's drills write lies below it, and nothing else; null: the site file names no place. */
export function scratchOf({ site, drill }: Pick<Site, 'site' | 'drill'>, host: HostName): string | null {
  return drill === undefined ? null : join(drill.scratch, 'coldbackup', site, host);
}

/** Whatever an earlier drill left: of a killed agent, say. */
export async function clearScratch(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 3 });
}

/** An empty folder for one artifact. Only where the place itself is there: a disk that is not mounted must not be filled. */
export async function makeScratch(folder: string): Promise<string> {
  await clearScratch(folder);
  const target = join(folder, 'target');
  await makeFolders(target);
  return target;
}
