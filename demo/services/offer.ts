import { createHash, randomBytes } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/**
 * Adds an object to the offer's tree as the real one does: under tmp/ first, then in its place. Then its digest is
 * written down in the form of sha256sum.
 */
export async function addObject(offer: string, path: string, sizeBytes: number, list: string): Promise<void> {
  const content = contentOf(sizeBytes);
  const part = join(offer, 'tmp', createHash('md5').update(path).digest('hex'));
  const place = join(offer, path);
  await mkdir(dirname(part), { recursive: true });
  await mkdir(dirname(place), { recursive: true });
  await writeFile(part, content);
  await rename(part, place);
  appendFileSync(list, `${createHash('sha256').update(content).digest('hex')}  ${path}\n`);
}

/** As archives are: half of it can be compressed. */
function contentOf(sizeBytes: number): Buffer {
  const random = randomBytes(Math.ceil(sizeBytes / 2));
  return Buffer.concat([random, Buffer.alloc(sizeBytes - random.length, 'an archival unit ')]);
}
