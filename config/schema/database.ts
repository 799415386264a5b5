import * as z from 'zod';
import type { Database, FilesEngine, MongodbEngine } from '../../model/site.ts';
import { filesSchema } from './engines/files.ts';
import { mongodbSchema } from './engines/mongodb.ts';
import { expected, refuseTwins, strict } from './expect.ts';
import { oneKeyOf, pickOne } from './one-key-of.ts';
import { reference } from './reference.ts';
import type { Known } from './reference.ts';

const LEVEL = { error: expected('a level of zstd, a whole number from 1 to 19') };

export function databaseSchema(known: Known) {
  return oneKeyOf(
    strict({
      'used-by': z
        .array(reference('service', known), { error: expected('a list of services ([] for none)') })
        .superRefine(refuseTwins)
        .describe(
          'Every service that writes to it: a cold backup is refused unless all were stopped before.',
        ),
      compress: z
        .int(LEVEL)
        .min(1, LEVEL)
        .max(19, LEVEL)
        .exactOptional()
        .describe(
          'The level of zstd: 1 costs the host least, 19 most. Default: 1 for MongoDB, whose pages are compressed already, else 3.',
        ),
      mongodb: mongodbSchema(known)
        .exactOptional()
        .describe('MongoDB: a sharded cluster, a replica set or a standalone server.'),
      files: filesSchema(known).exactOptional().describe('A tree of files on one host.'),
    }),
    ['mongodb', 'files'],
  ).transform((raw): Database => ({
    usedBy: raw['used-by'],
    ...(raw.compress !== undefined && { compress: raw.compress }),
    engine: pickOne<typeof raw, Database['engine']>(raw, {
      mongodb: (engine: MongodbEngine) => engine,
      files: (engine: FilesEngine) => engine,
    } satisfies Record<Database['engine']['kind'], unknown>),
  }));
}
