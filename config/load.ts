import { isUtf8 } from 'node:buffer';
import { open } from 'node:fs/promises';
import type { Site } from '../model/site.ts';
import { digestOf } from './digest.ts';
import { readDocument } from './document.ts';
import type { Place, SourceDocument } from './document.ts';
import { toFindings } from './findings.ts';
import { nearest } from './nearest.ts';
import { formatPath, SiteFileError } from './problem.ts';
import type { Finding, Path, Problem } from './problem.ts';
import { siteRules } from './rules/site.ts';
import type { Kind, Known } from './schema/reference.ts';
import { siteSchema } from './schema/site.ts';

export interface LoadedSite {
  readonly site: Site;
  /** SHA-256 of the parsed file. */
  readonly digest: string;
  readonly file: string;
}

export type Parsed =
  { readonly site: Site; readonly digest: string } | { readonly problems: readonly Problem[] };

const LARGEST_BYTES = 1024 * 1024;
const MOST_PROBLEMS = 200;

/** @throws SiteFileError with every problem of the file; the error of the system when it cannot be read. */
export async function loadSite(file: string): Promise<LoadedSite> {
  const parsed = parseBytes(await readStart(file), file);
  if ('problems' in parsed) throw new SiteFileError(file, parsed.problems);
  return { ...parsed, file };
}

/** The site, or every problem of the text in order of place. */
export function parseSite(text: string, file: string): Parsed {
  if (Buffer.byteLength(text) > LARGEST_BYTES) return tooLarge(file);
  const control = CONTROL_CHARACTER.exec(text);
  if (control !== null) return notText(file, text.slice(0, control.index));
  const source = readDocument(text);
  if ('syntax' in source)
    return { problems: inOrder(source.syntax.map((problem) => ({ file, key: '', ...problem }))) };
  return parseSource(source, file);
}

function parseBytes(bytes: Uint8Array, file: string): Parsed {
  if (bytes.byteLength > LARGEST_BYTES) return tooLarge(file);
  const text = new TextDecoder().decode(bytes);
  return isUtf8(bytes) ? parseSite(text, file) : notText(file, text.slice(0, text.indexOf('\uFFFD')));
}

/** Not more than it takes to see that the file is too large. */
async function readStart(file: string): Promise<Uint8Array> {
  const handle = await open(file);
  try {
    const bytes = Buffer.alloc(LARGEST_BYTES + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await handle.read(bytes, length, bytes.length - length, null);
      length += bytesRead;
      if (bytesRead === 0 || length === bytes.length) return bytes.subarray(0, length);
    }
  } finally {
    await handle.close();
  }
}

function parseSource(source: SourceDocument, file: string): Parsed {
  const problems: Problem[] = source.findings.map(({ path, line, column, message, hint }) =>
    toProblem(file, { line, column }, path, message, hint),
  );
  const report = (findings: readonly Finding[]): void => {
    for (const { path, at, message, hint } of findings)
      problems.push(toProblem(file, source.locate(path, at), path, message, hint));
  };
  if (!source.whole) return { problems: inOrder(problems) };
  if (source.data === null) {
    report([{ path: [], message: 'the file is empty: expected a site', hint: 'see examples/vitam.yaml' }]);
    return { problems };
  }
  const strictly = siteSchema(namesIn(source.data)).safeParse(source.data);
  if (!strictly.success) report(toFindings(strictly.error.issues));
  const site = strictly.success ? strictly.data : whatIsRight(source.data);
  if (site !== null) report(siteRules(site));
  if (problems.length > 0) return { problems: inOrder(problems) };
  if (site === null) throw new TypeError('a site file is either right or has problems');
  return { site, digest: digestOf(site) };
}

const SECTIONS = {
  service: 'services',
  job: 'jobs',
  count: 'counts',
  database: 'databases',
  store: 'stores',
} as const satisfies Record<Exclude<Kind, 'host'>, string>;

const TOP_KEYS = [
  ...['site', 'timezone', 'hosts', ...Object.values(SECTIONS), 'procedures', 'limits', 'drill', 'restore-to'],
];

/** What a name may refer to exists even where its own entry, or its section's name, is wrong: one mistake, one problem. */
function namesIn(data: unknown): Known {
  const section = (name: string): unknown => {
    if (!isMap(data)) return undefined;
    const key = name in data ? name : Object.keys(data).find((given) => nearest(given, TOP_KEYS) === name);
    return key === undefined ? undefined : data[key];
  };
  const keys = (name: string): readonly string[] => {
    const entries = section(name);
    return isMap(entries) ? Object.keys(entries) : [];
  };
  const hosts = section('hosts');
  return {
    host: Array.isArray(hosts) ? hosts.filter((host) => typeof host === 'string') : [],
    service: keys(SECTIONS.service),
    job: keys(SECTIONS.job),
    count: keys(SECTIONS.count),
    database: keys(SECTIONS.database),
    store: keys(SECTIONS.store),
  };
}

/**
 * The site without its wrong entries, so that the rules that join several places are checked in the same go. Unknown keys
 * are dropped, an entry with any other mistake is left out whole. null: nothing can be said.
 */
function whatIsRight(data: unknown): Site | null {
  if (!isMap(data)) return null;
  const rest: Record<string, unknown> = { procedures: {}, ...copyOf(data) };
  for (let round = 0; round < 4; round += 1) {
    const parsed = siteSchema(null).safeParse(rest);
    if (parsed.success) return parsed.data;
    for (const issue of parsed.error.issues) drop(rest, issue.path as Path, issue);
  }
  return null;
}

const STAND_INS: Readonly<Record<string, unknown>> = {
  site: 'unknown',
  timezone: 'UTC',
  hosts: ['unknown'],
  procedures: {},
};

function drop(
  rest: Record<string, unknown>,
  path: Path,
  issue: { code: string; keys?: readonly string[] },
): void {
  if (issue.code === 'unrecognized_keys') {
    const owner = path.reduce<unknown>(
      (value, part) =>
        typeof value === 'object' && value !== null ? value[part as keyof typeof value] : undefined,
      rest,
    );
    if (isMap(owner)) for (const key of issue.keys ?? []) Reflect.deleteProperty(owner, key);
    return;
  }
  const [section, name] = path;
  if (typeof section !== 'string') return;
  const entries = rest[section];
  if (section === 'drill') Reflect.deleteProperty(rest, section);
  else if (typeof name === 'string' && isMap(entries)) Reflect.deleteProperty(entries, name);
  else if (Object.hasOwn(STAND_INS, section)) rest[section] = STAND_INS[section];
  else Reflect.deleteProperty(rest, section);
}

function copyOf(data: Record<string, unknown>): Record<string, unknown> {
  return structuredClone(data);
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function toProblem(
  file: string,
  place: Place,
  path: Path,
  message: string,
  hint: string | undefined,
): Problem {
  return {
    file,
    line: place.line,
    column: place.column,
    key: formatPath(path),
    message,
    ...(hint === undefined ? {} : { hint }),
  };
}

function inOrder(problems: readonly Problem[]): readonly Problem[] {
  const sorted = [...problems].sort((a, b) => a.line - b.line || a.column - b.column);
  const [first] = sorted;
  if (first === undefined || sorted.length <= MOST_PROBLEMS) return sorted;
  const more = sorted.length - MOST_PROBLEMS;
  const { file, line, column } = sorted[MOST_PROBLEMS] ?? first;
  return [
    ...sorted.slice(0, MOST_PROBLEMS),
    { file, line, column, key: '', message: `and ${more} more problems from here on` },
  ];
}

// eslint-disable-next-line no-control-regex -- what no text file holds
const CONTROL_CHARACTER = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f]/;

function tooLarge(file: string): Parsed {
  return {
    problems: [
      {
        ...{ file, line: 1, column: 1, key: '' },
        message: 'the file is larger than 1 MiB: expected a site file',
      },
    ],
  };
}

function notText(file: string, before: string): Parsed {
  const lines = before.split('\n');
  return {
    problems: [
      {
        ...{ file, line: lines.length, column: (lines.at(-1) ?? '').length + 1, key: '' },
        message: 'expected text in UTF-8, not binary data',
      },
    ],
  };
}
