import * as z from 'zod';
import type { FilesEngine } from '../../../model/site.ts';
import { distinct, expected, strict } from '../expect.ts';
import { copiedBy, copyBySchema } from '../copy-by.ts';
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
    'copy-by': copyBySchema(
      'How data is taken: by a copy on the host (reflink, btrfs snapshot, plain copy), archived once its writers are started again; stream: archived before that; auto: the best that is possible. Default: stream.',
    ),
    copies: absolutePath
      .exactOptional()
      .describe(
        'With copy-by: the folder that copies of it are made in. Default: the one that the first root is in.',
      ),
  }).transform(({ host, roots, exclude, copies, 'copy-by': copyBy }): FilesEngine => ({
    kind: 'files',
    host,
    roots: roots as unknown as FilesEngine['roots'],
    exclude: exclude ?? [],
    ...(copies !== undefined && { copies }),
    ...copiedBy(copyBy),
  }));
}
