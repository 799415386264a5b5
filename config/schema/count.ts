import type { Count } from '../../model/site.ts';
import { strict } from './expect.ts';
import { oneKeyOf, pickOne } from './one-key-of.ts';
import { reference } from './reference.ts';
import type { Known } from './reference.ts';
import { argv, httpUrl, jsonPointer } from './scalars.ts';

export function countSchema(known: Known) {
  return oneKeyOf(
    strict({
      host: reference('host', known).describe('The host that asks for it.'),
      http: httpUrl
        .exactOptional()
        .describe('A GET of this URL answers with JSON; pointer says where the number is.'),
      pointer: jsonPointer
        .exactOptional()
        .describe('With http: JSON pointer (RFC 6901) to the number, such as "/workflows/active".'),
      command: argv.exactOptional().describe('Prints one integer.'),
    }),
    ['http', 'command'],
  )
    .superRefine((raw, context) => {
      if ((raw.http === undefined) === (raw.pointer === undefined)) return;
      const message =
        raw.http === undefined
          ? 'expected pointer only beside http'
          : 'missing: expected the pointer beside http';
      context.addIssue({ code: 'custom', path: ['pointer'], message });
    })
    .transform((raw): Count => ({
      host: raw.host,
      source: pickOne<typeof raw, Count['source']>(raw, {
        http: (url) => ({ kind: 'http', url, pointer: raw.pointer ?? '' }),
        command: (command) => ({ kind: 'command', command }),
      }),
    }));
}
