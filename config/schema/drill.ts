import * as z from 'zod';
import type { Drill, DrillCheck } from '../../model/site.ts';
import { defined, expected, strict, text } from './expect.ts';
import { oneKeyOf, pickOne } from './one-key-of.ts';
import { reference } from './reference.ts';
import type { Known } from './reference.ts';
import { absolutePath, argv, size } from './scalars.ts';

export const DEFAULT_DRILL_MEMORY_BYTES = 2e9;
/** Below it a mongod with its smallest cache may not even open a copy. */
const leastMemoryBytes = 1e9;

export function drillSchema(known: Known) {
  return strict({
    host: reference('host', known)
      .exactOptional()
      .describe(
        "Where sets are restored. Default: the store's keeper; of a store that is not shared, each host that holds a part.",
      ),
    scratch: absolutePath.describe(
      'An existing folder on that host: all that a drill writes lies below it, and goes when it ends.',
    ),
    mongod: argv
      .exactOptional()
      .describe(
        'How mongod is run there, of the version that wrote the sets: ["/usr/bin/mongod"]. Not needed for databases with a mongod of their own.',
      ),
    memory: size
      .refine((bytes) => bytes >= leastMemoryBytes, {
        error: 'expected at least "1GB": with less a mongod may not even open a copy',
      })
      .exactOptional()
      .describe(
        'What a scratch server may take; the kernel gives it no more, and ends it first where the host runs short. Default: 2GB.',
      ),
    disk: size
      .exactOptional()
      .describe(
        'What a drill may write below scratch: it does not begin where a set needs more, and is given up when it has written more. Default: twice what the largest part of the set needs.',
      ),
    'leave-free': size
      .exactOptional()
      .describe(
        'What stays free on the disk of scratch: a drill does not begin where less would, and is given up when less is. Default: a twentieth of it, at most 10GB.',
      ),
    checks: z
      .array(checkSchema(known), { error: expected('a list of checks') })
      .exactOptional()
      .describe('Questions to the restored MongoDB databases, with the answers that are expected.'),
  }).transform(({ checks, memory, disk: diskBytes, 'leave-free': leaveFreeBytes, ...raw }): Drill => ({
    ...defined({ ...raw, diskBytes, leaveFreeBytes }),
    memoryBytes: memory ?? DEFAULT_DRILL_MEMORY_BYTES,
    checks: checks ?? [],
  }));
}

const name = (what: string) => text(/^[^\0$]+$/, what);

function checkSchema(known: Known) {
  return oneKeyOf(
    strict({
      database: reference('database', known).describe('Of this file.'),
      db: name('the name of a database of the server').describe('The database of the server.'),
      collection: name('the name of a collection').describe('Its collection.'),
      filter: z
        .record(z.string(), z.unknown(), { error: expected('a MongoDB filter such as { status: open }') })
        .exactOptional()
        .describe('A MongoDB filter, in extended JSON. Left out: every document.'),
      count: z
        .int({ error: expected('a whole number') })
        .min(0)
        .exactOptional()
        .describe('So many documents are found.'),
      'at-least': z
        .int({ error: expected('a whole number') })
        .min(1)
        .exactOptional()
        .describe('So many documents are found, or more.'),
      field: strict({
        name: name('the name of a field').describe('Its name; with dots for one inside another.'),
        is: z
          .union([z.string(), z.number(), z.boolean()], { error: expected('text, a number, true or false') })
          .describe('Its value.'),
      })
        .exactOptional()
        .describe('At least one document is found, and in each this field has this value.'),
    }),
    ['count', 'at-least', 'field'],
  ).transform(({ database, db, collection, filter, ...answers }): DrillCheck => ({
    ...defined({ database, db, collection, filter }),
    expect: pickOne<typeof answers, DrillCheck['expect']>(answers, {
      count: (count) => ({ kind: 'count', count }),
      'at-least': (count) => ({ kind: 'at-least', count }),
      field: ({ name: field, is }) => ({ kind: 'field', field, is }),
    }),
  }));
}
