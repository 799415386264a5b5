import { rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostName, Site } from '../../model/site.ts';
import { sizeText } from '../stores/size-text.ts';
import { makeFolders } from '../system/folders.ts';
import { refusedDrill } from './isolated.ts';

/** What is written besides the content: a server's journal and what a replay of its oplog writes. */
const besidesBytes = 512 * 1024 * 1024;
const growth = 1.1;

/** All that an agent's drills write lies below it, and nothing else; null: the site file names no place. */
export function scratchOf({ site, drill }: Pick<Site, 'site' | 'drill'>, host: HostName): string | null {
  return drill === undefined ? null : join(drill.scratch, 'coldbackup', site, host);
}

/** Whatever an earlier drill left: of a killed agent, say. */
export async function clearScratch(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 3 });
}

/** An empty folder for one artifact. The place itself is never made: a disk that is not mounted must not be filled. */
export async function makeScratch(
  folder: string,
  { drill }: Pick<Site, 'drill'>,
  contentBytes: number,
): Promise<string> {
  const place = drill?.scratch ?? '';
  const found = await stat(place).catch(() => null);
  if (found?.isDirectory() !== true)
    throw refusedDrill(`The scratch folder ${place} is not there: make it, or mount its disk.`);
  const { bavail, bsize } = await statfs(place);
  const neededBytes = contentBytes * growth + besidesBytes;
  if (bavail * bsize < neededBytes)
    throw refusedDrill(
      `The scratch folder ${place} has ${sizeText(bavail * bsize)} free; this drill needs ${sizeText(neededBytes)}.`,
    );
  await clearScratch(folder);
  const target = join(folder, 'target');
  await makeFolders(target);
  return target;
}
