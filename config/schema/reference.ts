import * as z from 'zod';
import { byDistance, quoteWithNearest } from '../nearest.ts';
import { expected } from './expect.ts';

export type Kind = 'host' | 'service' | 'job' | 'count' | 'database' | 'store';

/** The names that the file defines, whether or not what they stand for is right. null: every name will do. */
export type Known = Readonly<Record<Kind, readonly string[]>> | null;

/** The name of something that the same file defines. */
export function reference(kind: Kind, known: Known): z.ZodString {
  const form = z.string({ error: expected(`the name of a ${kind}`) });
  if (known === null) return form;
  const names = known[kind];
  return form.superRefine((name, context) => {
    if (!names.includes(name))
      context.addIssue({
        code: 'custom',
        message: `unknown ${kind} ${quoteWithNearest(name, names)}`,
        params: { hint: hintFor(kind, name, names) },
      });
  });
}

function hintFor(kind: Kind, name: string, names: readonly string[]): string {
  if (names.length === 0) return `this file defines no ${kind}`;
  const near = byDistance(name, names);
  const more = near.length > 8 ? `, and ${near.length - 8} more` : '';
  return `known ${kind}s: ${near.slice(0, 8).join(', ')}${more}`;
}
