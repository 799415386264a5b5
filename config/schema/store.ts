import * as z from 'zod';
import type { Store } from '../../model/site.ts';
import { expected, named, strict } from './expect.ts';
import { reference } from './reference.ts';
import type { Known } from './reference.ts';
import { absolutePath } from './scalars.ts';

export function storeSchema(known: Known) {
  return strict({
    directory: z
      .union([absolutePath, named(reference('host', known), absolutePath)], {
        error: expected('an absolute path, or a map from host to absolute path'),
      })
      .describe('Where the sets lie: one absolute path, or one per host where the mount points differ.'),
    shared: z
      .boolean({ error: expected('true or false') })
      .describe(
        'true: all hosts see the same files. false: each host has its own disk, with its own artifacts.',
      ),
    keeper: reference('host', known).describe(
      'The host whose agent publishes, lists, verifies and prunes it.',
    ),
  }).transform((raw): Store => ({ kind: 'directory', ...raw }));
}
