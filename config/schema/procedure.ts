import * as z from 'zod';
import type { Procedure, Retention, Start, Weekday } from '../../model/site.ts';
import { defined, distinct, expected, list, named, oneOf, strict, text } from './expect.ts';
import { reference, type Known } from './reference.ts';
import { clockTime, date, days as daysLong } from './scalars.ts';
import { onFailure, stepSchema } from './step.ts';

const DAY_MS = 86_400_000;
const WEEKDAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const satisfies readonly Weekday[];

export function procedureSchema(known: Known) {
  return strict({
    start: start
      .exactOptional()
      .describe('The schedule. Left out: the procedure is started by hand, and its window begins then.'),
    restart: restart
      .exactOptional()
      .describe('When bringing back begins: when-done (default), or { at: "08:00" }.'),
    'up-by': clockTime.describe('The clock time by which everything must be up again.'),
    steps: list(stepSchema(known), 'steps').describe(
      'What is done, in this order; what was stopped comes back by itself.',
    ),
    'on-failure': onFailure
      .exactOptional()
      .describe(
        'What a step that fails does. fail (default): all is brought back. ask: operators may retry it, skip it or let it fail, until bringing back has to begin.',
      ),
    'when-held': oneOf('refuse', 'wait')
      .exactOptional()
      .describe(
        'What a run does when another one holds one of its hosts, before anything is stopped. refuse (default): no-go. wait: until the other has ended, at most until not-after, or an hour.',
      ),
    keep: keepSchema(known)
      .exactOptional()
      .describe(
        'Which sets of this procedure stay in its stores: { daily: 14 }, or of each store { vault: { last: 3 }, offsite: { daily: 14 } }. Left out: all of them.',
      ),
    'prove-every': daysLong
      .transform((many) => many * DAY_MS)
      .exactOptional()
      .describe('A newest proof (of "coldbackup drill") that is older than this is a warning: 90d.'),
    drill: start
      .exactOptional()
      .describe(
        'When the newest complete set is restored to prove it, as "coldbackup drill" does: { days: sun, at: "10:00" }.',
      ),
    verify: verify
      .exactOptional()
      .describe(
        'When sets are read again, byte by byte, that were neither made nor read for so long: { days: mon-sun, at: "09:00", every: 30d }.',
      ),
  }).transform((raw): Procedure => ({
    restart: raw.restart ?? { kind: 'when-done' },
    upBy: raw['up-by'],
    steps: raw.steps,
    onFailure: raw['on-failure'] ?? 'fail',
    whenHeld: raw['when-held'] ?? 'refuse',
    ...defined({
      ...{ start: raw.start, proveEveryMs: raw['prove-every'], ...raw.keep },
      ...{ drill: raw.drill, verify: raw.verify },
    }),
  }));
}

const day = oneOf(...WEEKDAYS);

const days = z
  .union(
    [
      text(
        new RegExp(`^(${WEEKDAYS.join('|')})(-(${WEEKDAYS.join('|')}))?$`),
        'a day such as sun, or days such as mon-fri',
      ),
      list(day, 'days'),
    ],
    { error: expected('days such as mon-fri, or a list such as [mon, thu]') },
  )
  .transform((raw): readonly Weekday[] => {
    const chosen = typeof raw === 'string' ? range(raw) : raw;
    return WEEKDAYS.filter((candidate) => chosen.includes(candidate));
  });

const startKeys = {
  days: days.describe('The days of the week on which it begins: mon-fri, sun, or [mon, thu].'),
  at: clockTime.describe('The clock time at which it begins, local to the site.'),
  'not-after': clockTime
    .exactOptional()
    .describe(
      'The latest clock time at which a late start still belongs to this night. Default: 1 h after at.',
    ),
  'not-on': distinct(date, 'dates')
    .exactOptional()
    .describe('Dates on which no night starts, local to the site: ["2026-12-24", "2026-12-31"].'),
  'pause-on-failure': z
    .boolean({ error: expected('true or false') })
    .exactOptional()
    .describe(
      'Whether a scheduled run that fails pauses the schedule until "coldbackup schedule resume". Default: false.',
    ),
};

const start = strict(startKeys).transform(startOf);

const verify = strict({
  ...startKeys,
  every: daysLong.describe('A set is read again when it was neither made nor read for so many days: 30d.'),
}).transform(({ every, ...raw }) => ({ ...startOf(raw), everyMs: every * DAY_MS }));

function startOf(raw: z.output<z.ZodObject<typeof startKeys>>): Start {
  return {
    days: raw.days,
    at: raw.at,
    ...defined({
      notAfter: raw['not-after'],
      notOn: raw['not-on'],
      pauseOnFailure: raw['pause-on-failure'] === true ? true : undefined,
    }),
  };
}

const restart = z
  .union(
    [
      oneOf('when-done'),
      strict({ at: clockTime.describe('The clock time at which bringing back begins, before up-by.') }),
    ],
    { error: expected('when-done, or { at: "08:00" }') },
  )
  .transform((raw): Procedure['restart'] =>
    typeof raw === 'string' ? { kind: 'when-done' } : { kind: 'at', at: raw.at },
  );

const number = z
  .int({ error: expected('a whole number') })
  .min(1, { error: 'expected a number from 1' })
  .exactOptional();

const rules = {
  last: number.describe('The newest so many sets.'),
  hourly: number.describe('The newest set of each of so many hours.'),
  daily: number.describe('The newest set of each of so many days.'),
  weekly: number.describe('The newest set of each of so many weeks.'),
  monthly: number.describe('The newest set of each of so many months.'),
  yearly: number.describe('The newest set of each of so many years.'),
  within: daysLong.exactOptional().describe('Every set that is younger than so many days, such as 42d.'),
};

/** What no store can be called. */
export const retentionWords: readonly string[] = Object.keys(rules);

const retention = strict(rules)
  .refine((raw) => Object.keys(raw).length > 0, {
    error: `expected at least one of ${retentionWords.join(', ')}`,
  })
  .transform(({ within, ...counts }): Retention => ({
    ...counts,
    ...(within !== undefined && { withinDays: within }),
  }));

/** Rules, or a map of stores to rules: told by what the values are, so that a mistake is one of what was meant. */
function keepSchema(known: Known) {
  const each = named(reference('store', known), retention);
  const { anyOf } = z.toJSONSchema(z.union([retention, each]), { io: 'input' });
  return z
    .unknown()
    .transform((raw, context): Pick<Procedure, 'keep' | 'keepIn'> => {
      const maps = isMap(raw) ? Object.values(raw).filter(isMap).length : 0;
      if (maps > 0 && maps < Object.keys(raw as object).length) {
        context.addIssue({
          code: 'custom',
          message:
            'expected rules such as { daily: 14 }, or stores with rules such as { vault: { last: 3 } }, not both in one map',
        });
        return z.NEVER;
      }
      if (maps === 0) return { keep: parsedIn(retention, raw, context) };
      return { keepIn: parsedIn(each, raw, context) };
    })
    .meta({ anyOf });
}

function parsedIn<T>(schema: z.ZodType<T>, raw: unknown, context: z.core.$RefinementCtx): T {
  const parsed = schema.safeParse(raw);
  if (parsed.success) return parsed.data;
  context.issues.push(...(parsed.error.issues as z.core.$ZodRawIssue[]));
  return z.NEVER;
}

function isMap(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `fri-mon` goes over the end of the week. */
function range(words: string): readonly Weekday[] {
  const [first, last] = words.split('-') as [Weekday, Weekday | undefined];
  const from = WEEKDAYS.indexOf(first);
  const to = WEEKDAYS.indexOf(last ?? first);
  return WEEKDAYS.filter((_, index) =>
    from <= to ? index >= from && index <= to : index >= from || index <= to,
  );
}
