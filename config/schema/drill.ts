import * as z from 'zod';
import type { Drill, DrillCheck } from '../../model/site.ts';
import { defined, expected, strict, text } from './expect.ts';
import { oneKeyOf, pickOne } from './one-key-of.ts';
import { reference } from './reference.ts';
import type { Known } from './reference.ts';
import { absolutePath, argv } from './scalars.ts';

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
      .describe('How mongod is run there, of the version that wrote the sets: ["/usr/bin/mongod"].'),
    checks: z
      .array(checkSchema(known), { error: expected('a list of checks') })
      .exactOptional()
      .describe('Questions to the restored MongoDB databases, with the answers that are expected.'),
  }).transform(({ checks, ...raw }): Drill => ({ ...defined(raw), checks: checks ?? [] }));
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
