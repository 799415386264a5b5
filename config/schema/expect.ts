import * as z from 'zod';

/** What zod hands to an error function. */
interface RawIssue {
  readonly code?: string | undefined;
  readonly input?: unknown;
}

/** `expected a duration such as "90s", not 90`, or that it is missing. */
export function expected(what: string): (issue: RawIssue) => string {
  return ({ input }) =>
    input === undefined ? `missing: expected ${what}` : `expected ${what}, not ${shown(input)}`;
}

/** For what may be a secret that was written where its reference belongs: never repeats the value. */
export function expectedUnseen(what: string): (issue: RawIssue) => string {
  return ({ input }) => (input === undefined ? `missing: expected ${what}` : `expected ${what}`);
}

/** Text of a form. `what` continues "expected …". */
export function text(pattern: RegExp, what: string, error = expected): z.ZodString {
  return z.string({ error: error(what) }).regex(pattern, { error: error(what) });
}

export function oneOf<const T extends readonly [string, ...string[]]>(
  ...words: T
): z.ZodEnum<{ [K in T[number]]: K }> {
  return z.enum(words, {
    error: expected(words.map((word) => `"${word}"`).join(' or ')),
  });
}

/**
 * A map that knows its keys. The message of `unrecognized_keys` is only those keys, for `toFindings` to find the nearest:
 * zod's issue does not carry them.
 */
export function strict<S extends z.core.$ZodLooseShape>(
  shape: S,
  wrongType = expected(`a map with the keys ${Object.keys(shape).join(', ')}`),
): z.ZodObject<{ -readonly [K in keyof S]: S[K] }, z.core.$strict> {
  const keys = Object.keys(shape);
  return z.strictObject(shape, {
    error: (issue) => (issue.code === 'unrecognized_keys' ? JSON.stringify(keys) : wrongType(issue)),
  });
}

/** Names that a person gives → what they stand for. */
export function named<V extends z.core.SomeType>(name: z.ZodString, value: V): z.ZodRecord<z.ZodString, V> {
  return z.record(name, value, { error: expected('a map of names') });
}

/** At least one. */
export function list<V extends z.core.SomeType>(item: V, what: string): z.ZodArray<V> {
  return z
    .array(item, { error: expected(`a list of ${what}`) })
    .min(1, { error: `expected at least one of ${what}` });
}

/** At least one, each once. */
export function distinct<V extends z.core.SomeType>(item: V, what: string): z.ZodArray<V> {
  return list(item, what).superRefine(refuseTwins);
}

export function refuseTwins(items: readonly unknown[], context: z.core.$RefinementCtx): void {
  items.forEach((item, index) => {
    if (typeof item === 'string' && items.indexOf(item) < index)
      context.addIssue({ code: 'custom', path: [index], message: `"${item}" is named twice` });
  });
}

/** Without the keys that are undefined, so that two ways to leave one out are one value (and one digest). */
export function defined<T extends object>(value: T): Defined<T> {
  return Object.fromEntries(Object.entries(value).filter(([, part]) => part !== undefined)) as Defined<T>;
}

type Defined<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

function shown(input: unknown): string {
  if (input === null) return 'nothing';
  if (Array.isArray(input)) return 'a list';
  if (typeof input === 'object') return 'a map';
  const words = JSON.stringify(input);
  return words.length > 60 ? `${words.slice(0, 57)}…` : words;
}
