import type * as z from 'zod';
import { quoteWithNearest, nearest } from './nearest.ts';
import type { Finding, Path } from './problem.ts';

/** Zod's issues in the words of a site file: one finding per unknown key, and only the branch of a union that was meant. */
export function toFindings(issues: readonly z.core.$ZodIssue[]): readonly Finding[] {
  const flat = issues.flatMap((issue) => flatten(issue, []));
  const misspelled = new Set(flat.flatMap(({ issue, path }) => meantKeys(issue, path)));
  return flat
    .filter(({ issue, path }) => !isOnlyMisspelled(issue, path, misspelled))
    .flatMap(({ issue, path }) => toFinding(issue, path));
}

interface Flat {
  readonly issue: z.core.$ZodIssue;
  readonly path: Path;
}

function flatten(issue: z.core.$ZodIssue, prefix: Path): readonly Flat[] {
  const path = [...prefix, ...(issue.path as Path)];
  if (issue.code !== 'invalid_union') return [{ issue, path }];
  const meant = issue.errors.find((branch) => !branch.some(isWrongType));
  return meant === undefined ? [{ issue, path }] : meant.flatMap((inner) => flatten(inner, path));
}

function isWrongType(issue: z.core.$ZodIssue): boolean {
  return issue.path.length === 0 && (issue.code === 'invalid_type' || issue.code === 'invalid_value');
}

/** What was misspelled is not missing too. */
function meantKeys(issue: z.core.$ZodIssue, path: Path): readonly string[] {
  if (issue.code !== 'unrecognized_keys') return [];
  const known = knownKeys(issue);
  return issue.keys.flatMap((key) => {
    const meant = nearest(key, known);
    return meant === undefined ? [] : [JSON.stringify([...path, meant])];
  });
}

function isOnlyMisspelled(issue: z.core.$ZodIssue, path: Path, misspelled: ReadonlySet<string>): boolean {
  if (issue.code === 'invalid_type' && issue.message.startsWith('missing:'))
    return misspelled.has(JSON.stringify(path));
  const missing = issue.code === 'custom' ? (issue.params?.['missing'] as readonly string[] | undefined) : [];
  const owner =
    typeof path.at(-1) === 'string' && missing?.includes(path.at(-1) as string) ? path.slice(0, -1) : path;
  return missing?.some((key) => misspelled.has(JSON.stringify([...owner, key]))) ?? false;
}

function toFinding(issue: z.core.$ZodIssue, path: Path): readonly Finding[] {
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(issue);
    return issue.keys.map((key) => ({
      path: [...path, key],
      at: 'key',
      message: `unknown key ${quoteWithNearest(key, known)}`,
      hint: `known keys here: ${known.join(', ')}`,
    }));
  }
  if (issue.code === 'invalid_key')
    return issue.issues.map((inner) => ({ path, at: 'key', message: inner.message, ...hintOf(inner) }));
  return [{ path, message: issue.message, ...hintOf(issue) }];
}

function knownKeys(issue: z.core.$ZodIssueUnrecognizedKeys): readonly string[] {
  return JSON.parse(issue.message) as readonly string[];
}

function hintOf(issue: z.core.$ZodIssue): { hint?: string } {
  const hint: unknown = issue.code === 'custom' ? issue.params?.['hint'] : undefined;
  return typeof hint === 'string' ? { hint } : {};
}
