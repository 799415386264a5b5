import type * as z from 'zod';

/**
 * Of each group of keys exactly one is present; only the branch that is there is parsed. The keys of a group are optional
 * in the schema; `pickOne` then reads the one that is there. The JSON Schema says the same.
 */
export function oneKeyOf<S extends z.ZodObject>(
  schema: S,
  ...groups: readonly (readonly (keyof z.output<S> & string)[])[]
): S {
  return groups
    .reduce<S>((all, group) => all.superRefine(exactly('one', group), { when: always }), schema)
    .meta({ allOf: groups.map((group) => ({ oneOf: group.map((key) => ({ required: [key] })) })) });
}

/** As `oneKeyOf`, where none is also an answer. */
export function atMostOneKeyOf<S extends z.ZodObject>(
  schema: S,
  group: readonly (keyof z.output<S> & string)[],
): S {
  const branches = group.map((key) => ({ required: [key] }));
  return schema
    .superRefine(exactly('at most one', group), { when: always })
    .meta({ oneOf: [...branches, { not: { anyOf: branches } }] });
}

/** Calls the maker of the first of these keys that is there; `oneKeyOf` has made sure that there is one. */
export function pickOne<T extends object, R>(
  value: T,
  makers: { readonly [K in keyof T]?: (branch: Exclude<T[K], undefined>) => R },
): R {
  const made = pickOneOrNone(value, makers);
  if (made === undefined) throw new TypeError(`none of ${Object.keys(makers).join(', ')} is there`);
  return made;
}

export function pickOneOrNone<T extends object, R>(
  value: T,
  makers: { readonly [K in keyof T]?: (branch: Exclude<T[K], undefined>) => R },
): R | undefined {
  for (const key of Object.keys(makers) as (keyof T)[]) {
    const branch = value[key];
    if (branch !== undefined) return makers[key]?.(branch as Exclude<T[keyof T], undefined>);
  }
  return undefined;
}

/** A problem elsewhere in the map must not hide this one. */
function always(): boolean {
  return true;
}

function exactly(howMany: 'one' | 'at most one', group: readonly string[]) {
  return (value: unknown, context: z.core.$RefinementCtx): void => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return;
    const there = group.filter((key) => key in value);
    if (there.length === 1 || (there.length === 0 && howMany === 'at most one')) return;
    const wanted = `${howMany === 'one' ? 'exactly one' : howMany} of ${group.join(', ')}`;
    context.addIssue({
      code: 'custom',
      message: `expected ${wanted}, not ${there.length === 0 ? 'none' : there.join(' and ')}`,
      params: { missing: there.length === 0 ? group : [] },
    });
  };
}
