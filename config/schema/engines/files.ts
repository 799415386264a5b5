import * as z from 'zod';
import type { FilesEngine } from '../../../model/site.ts';
import { distinct, expected, strict } from '../expect.ts';
import { reference } from '../reference.ts';
import type { Known } from '../reference.ts';
import { absolutePath } from '../scalars.ts';

export function filesSchema(known: Known) {
  return strict({
    host: reference('host', known).describe('The host that the files are on.'),
    roots: distinct(absolutePath, 'absolute paths').describe('Directories or files, by absolute path.'),
    exclude: z
      .array(z.string({ error: expected('a tar exclude pattern') }).min(1), {
        error: expected('a list of tar exclude patterns'),
      })
      .exactOptional()
      .describe('GNU tar exclude patterns, relative to a root; what they leave out is listed in the set.'),
  }).transform(({ host, roots, exclude }): FilesEngine => ({
    kind: 'files',
    host,
    roots: roots as unknown as FilesEngine['roots'],
    exclude: exclude ?? [],
  }));
}
