import type { Count } from '../../model/site.ts';
import { runCommand } from '../system/command.ts';
import { SourceError } from './observe-job.ts';

const questionTimeoutMs = 30_000;

/** Reads a number on this host: an integer that a command prints, or one in a JSON document. Throws {@link SourceError}. */
export async function readCount(count: Pick<Count, 'source'>, signal?: AbortSignal): Promise<number> {
  const { source } = count;
  return source.kind === 'command'
    ? readCommand(source.command, signal)
    : readHttp(source.url, source.pointer, signal);
}

/** The value that a JSON pointer (RFC 6901) names; undefined: there is none. */
export function valueAt(document: unknown, pointer: string): unknown {
  if (pointer === '') return document;
  return pointer
    .slice(1)
    .split('/')
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce<unknown>(member, document);
}

async function readCommand(argv: readonly string[], signal: AbortSignal | undefined): Promise<number> {
  const { stdout } = await runCommand(argv, { signal, timeoutMs: questionTimeoutMs });
  const text = stdout.trim();
  if (/^-?\d+$/.test(text)) return Number(text);
  throw new SourceError(
    `${JSON.stringify(argv)} must print one integer, and printed ${JSON.stringify(text.slice(0, 200))}`,
  );
}

async function readHttp(url: string, pointer: string, signal: AbortSignal | undefined): Promise<number> {
  const document = await fetchJson(url, signal);
  const value = valueAt(document, pointer);
  if (typeof value === 'number' && Number.isInteger(value)) return value;
  throw new SourceError(
    `GET ${url}: "${pointer}" must be an integer, and is ${value === undefined ? 'not there' : JSON.stringify(value).slice(0, 200)}`,
  );
}

async function fetchJson(url: string, signal: AbortSignal | undefined): Promise<unknown> {
  const timeout = AbortSignal.timeout(questionTimeoutMs);
  try {
    const response = await fetch(url, {
      headers: { accept: 'application/json' },
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
    });
    const text = await response.text();
    if (!response.ok) {
      throw new SourceError(`GET ${url} answers ${response.status}: ${text.slice(0, 200)}`);
    }
    return JSON.parse(text) as unknown;
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof SourceError) throw error;
    const why =
      error instanceof Error ? ((error.cause as Error | undefined)?.message ?? error.message) : String(error);
    throw new SourceError(`GET ${url}: ${why}`, { cause: error });
  }
}

function member(value: unknown, token: string): unknown {
  if (Array.isArray(value))
    return /^(0|[1-9]\d*)$/.test(token) ? (value as unknown[])[Number(token)] : undefined;
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, token)) return undefined;
  return (value as Record<string, unknown>)[token];
}
