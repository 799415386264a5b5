/** Something in a site file that keeps it from being used. */
export interface Problem {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
  /** `procedures.nightly.steps[2].stop[0]`; empty for the file as a whole. */
  readonly key: string;
  /** What was expected, and what was found instead. */
  readonly message: string;
  /** What to do about it. */
  readonly hint?: string;
}

/** Keys and list positions from the root of the file. */
export type Path = readonly (string | number)[];

/** A problem whose place in the file is still a path. */
export interface Finding {
  readonly path: Path;
  /** `key`: the name itself is wrong, not what it stands for. */
  readonly at?: 'key' | 'value';
  readonly message: string;
  readonly hint?: string;
}

/** Thrown when a site file cannot be used; `problems` has all of them, in order of place. */
export class SiteFileError extends Error {
  override readonly name = 'SiteFileError';
  readonly file: string;
  readonly problems: readonly Problem[];

  constructor(file: string, problems: readonly Problem[]) {
    super(`${file} cannot be used:\n${formatProblems(problems)}`);
    this.file = file;
    this.problems = problems;
  }
}

/** Thrown when nobody serves a site of this name. */
export class UnknownSiteError extends Error {
  override readonly name = 'UnknownSiteError';
}

/** For a terminal: `file:line:column  key  message`, and the hint on a line of its own. */
export function formatProblems(problems: readonly Problem[]): string {
  return problems
    .flatMap(({ file, line, column, key, message, hint }) => [
      [`${file}:${line}:${column}`, key, message].filter((part) => part !== '').join('  '),
      ...(hint === undefined ? [] : [`    ${hint}`]),
    ])
    .join('\n');
}

/** `databases.vitam-mongo.mongodb.members["mongo-1:27018"].data` */
export function formatPath(path: Path): string {
  return path
    .map((part, index) => {
      if (typeof part === 'number') return `[${part}]`;
      if (!/^[\w-]+$/.test(part)) return `[${JSON.stringify(part)}]`;
      return index === 0 ? part : `.${part}`;
    })
    .join('');
}
