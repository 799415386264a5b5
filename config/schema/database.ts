import * as z from 'zod';
import type { Database, FilesEngine, MongodbEngine } from '../../model/site.ts';
import { filesSchema } from './engines/files.ts';
import { mongodbSchema } from './engines/mongodb.ts';
import { expected, refuseTwins, strict } from './expect.ts';
import { oneKeyOf, pickOne } from './one-key-of.ts';
import { reference } from './reference.ts';
import type { Known } from './reference.ts';

export function databaseSchema(known: Known) {
  return oneKeyOf(
    strict({
      'used-by': z
        .array(reference('service', known), { error: expected('a list of services ([] for none)') })
        .superRefine(refuseTwins)
        .describe(
          'Every service that writes to it: a cold backup is refused unless all were stopped before.',
        ),
      mongodb: mongodbSchema(known)
        .exactOptional()
        .describe('MongoDB: a sharded cluster, a replica set or a standalone server.'),
      files: filesSchema(known).exactOptional().describe('A tree of files on one host.'),
    }),
    ['mongodb', 'files'],
  ).transform((raw): Database => ({
    usedBy: raw['used-by'],
    engine: pickOne<typeof raw, Database['engine']>(raw, {
      mongodb: (engine: MongodbEngine) => engine,
      files: (engine: FilesEngine) => engine,
    } satisfies Record<Database['engine']['kind'], unknown>),
  }));
}
