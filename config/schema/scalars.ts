import * as z from 'zod';
import type { Argv, SecretRef } from '../../model/site.ts';
import { durationForm, durationMs, durationPattern } from '../duration.ts';
import { expected, expectedUnseen, strict, text } from './expect.ts';
import { oneKeyOf, pickOne } from './one-key-of.ts';

export const NAME = text(
  /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/,
  'a name of lower-case words joined by hyphens, such as "storage-default-offer"',
);

export const HOST_NAME = text(
  /^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/,
  'a host name of letters, digits, dots and hyphens',
);

/** → milliseconds */
export const duration = text(durationPattern, durationForm)
  .refine((words) => durationMs(words) > 0, { error: 'expected a duration longer than nothing' })
  .transform(durationMs);

export const clockTime = text(
  /^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?$/,
  'a clock time from "00:00" to "23:59", in quotes',
);

/** `42d` → days */
export const days = text(/^[1-9]\d{0,4}d$/, 'a number of days such as "42d"').transform((words) =>
  Number(words.slice(0, -1)),
);

const DATE = /^20\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$/;

/** ISO 8601 calendar date, in the years that Temporal's calendars know. */
export const date = text(DATE, 'a date such as "2026-12-24"').refine(isInCalendar, {
  error: ({ input }) => `there is no ${String(input)} in the calendar`,
});

function isInCalendar(words: string): boolean {
  if (!DATE.test(words)) return true; // said already
  const time = new Date(`${words}T00:00:00Z`);
  return !Number.isNaN(time.getTime()) && time.toISOString().startsWith(words);
}

export const absolutePath = text(
  /^\/(?!.*(^|\/)\.\.?(\/|$))[^\0]*$/,
  'an absolute path without "." or ".." in it',
).transform((path) => path.replace(/\/+/g, '/').replace(/(.)\/$/, '$1'));

export const argv = z
  .array(z.string({ error: expected('text (put numbers in quotes)') }), {
    error: expected('an argument array such as ["/usr/bin/tool", "--flag"], never a shell string'),
  })
  .min(1, { error: 'expected an argument array with the program first' })
  .superRefine(([program], context) => {
    if (program !== undefined && !program.startsWith('/'))
      context.addIssue({
        code: 'custom',
        path: [0],
        message: `expected the program's absolute path, not "${program}"`,
        params: { hint: 'an agent runs only what the file names, whatever its PATH is' },
      });
  })
  .transform((words): Argv => words as unknown as Argv);

export const tcpAddress = text(
  /^([^\s:/@]+|\[[0-9a-fA-F:]+\]):([1-9]\d{0,4})$/,
  'an address such as "localhost:9200"',
)
  .refine((address) => Number(portOf(address)) <= 65535, { error: 'expected a port from 1 to 65535' })
  .transform((address) => ({
    host: address.slice(0, address.lastIndexOf(':')).replace(/^\[|\]$/g, ''),
    port: Number(portOf(address)),
  }));

export const httpUrl = text(
  /^https?:\/\/[^\s@]+$/,
  'an http:// or https:// URL without a login in it',
  expectedUnseen,
).refine((url) => URL.canParse(url), { error: 'expected an http:// or https:// URL' });

const sizeUnits = { kB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 };

/** `500GB` → bytes */
export const size = text(/^[1-9]\d{0,5}[kMGT]B$/, 'a size such as "500GB"').transform(bytesIn);

/** `20MB/s` → bytes a second */
export const rate = text(/^[1-9]\d{0,5}[kMG]B\/s$/, 'a rate such as "20MB/s"').transform((words) =>
  bytesIn(words.slice(0, -2)),
);

function bytesIn(words: string): number {
  return Number.parseInt(words, 10) * sizeUnits[words.slice(-2) as keyof typeof sizeUnits];
}

export const port = z
  .int({ error: expected('a port from 1 to 65535') })
  .min(1, { error: 'expected a port from 1 to 65535' })
  .max(65535, { error: 'expected a port from 1 to 65535' });

/** RFC 6901. */
export const jsonPointer = text(
  /^(\/([^~/]|~[01])*)+$/,
  'a JSON pointer (RFC 6901) such as "/workflows/active"',
);

/** A secret given as plain text never shows up in a message. */
export const secretRef = oneKeyOf(
  strict(
    {
      file: text(
        /^\/(?!.*(^|\/)\.\.?(\/|$))[^\0]*$/,
        'the absolute path of a file that holds the secret',
        expectedUnseen,
      )
        .exactOptional()
        .describe(
          'Absolute path of a file on the host that uses the secret; its content without the line end.',
        ),
      env: text(/^[A-Za-z_][A-Za-z0-9_]*$/, 'the name of an environment variable', expectedUnseen)
        .exactOptional()
        .describe('Name of an environment variable of the agent on the host that uses the secret.'),
    },
    expectedUnseen('a secret by reference only: { file: /absolute/path } or { env: NAME }'),
  ),
  ['file', 'env'],
).transform((raw): SecretRef => pickOne(raw, { file: byFile, env: byEnv }));

function byFile(file: string): SecretRef {
  return { file };
}

function byEnv(env: string): SecretRef {
  return { env };
}

function portOf(address: string): string {
  return address.slice(address.lastIndexOf(':') + 1);
}
