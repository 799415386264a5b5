import { ApplicationFailure } from '@temporalio/common';
import { MongoClient, MongoParseError, MongoServerError } from 'mongodb';
import type { HostName, SecretRef, Site } from '../../model/site.ts';
import { readSecret, referenceText } from '../system/secrets.ts';
import { engineOf, memberOf } from './engine.ts';
import { refusal, trouble } from './errors.ts';

export interface AskOptions {
  /** An abort closes the connection, whatever is asked at that moment. */
  readonly signal?: AbortSignal | undefined;
  /** Longest time to find the server, 5 s unless told. */
  readonly reachWithinMs?: number;
}

const notAuthorised = new Set([13, 18, 11]);
/** The server is no primary (any more), or is going away: an answer to whoever looks for the primary. */
const notPrimaryCodes = new Set([91, 189, 10058, 10107, 11600, 11602, 13435, 13436]);

/**
 * Asks one member directly, never another of its set. Every failure names the member and the host that asked, and
 * carries neither the uri nor anything in it.
 */
export async function withMember<T>(
  site: Site,
  database: string,
  member: string,
  ask: (client: MongoClient) => Promise<T>,
  options: AskOptions = {},
): Promise<T> {
  const { host, uri } = memberOf(site, database, member);
  return withServer({ what: `${database} member ${member}`, host, uri }, options, async (client) => {
    const hello = await client.db('admin').command({ hello: 1 });
    if (hello['msg'] === 'isdbgrid')
      throw refusal(
        `${database} member ${member}: ${referenceText(uri)} leads to a mongos, not to the member.`,
      );
    // A member knows its own name from the replica set configuration; a server without one cannot tell.
    const me: unknown = hello['me'];
    if (typeof me === 'string' && me !== member)
      throw refusal(
        `${database} member ${member}: ${referenceText(uri)} leads to ${me}. Correct the secret.`,
      );
    return ask(client);
  });
}

/** Asks mongos. The same rules as {@link withMember}. */
export async function withMongos<T>(
  site: Site,
  database: string,
  ask: (client: MongoClient) => Promise<T>,
  options: AskOptions = {},
): Promise<T> {
  const { mongos } = engineOf(site, database);
  if (!mongos) throw refusal(`${database} has no mongos in the site file.`);
  return withServer({ what: `${database} mongos`, ...mongos }, options, async (client) => {
    const hello = await client.db('admin').command({ hello: 1 });
    if (hello['msg'] !== 'isdbgrid')
      throw refusal(`${database} mongos: ${referenceText(mongos.uri)} leads to a mongod, not to a mongos.`);
    return ask(client);
  });
}

export function isNotPrimary(error: unknown): boolean {
  return error instanceof MongoServerError && notPrimaryCodes.has(Number(error.code));
}

interface Target {
  readonly what: string;
  readonly host: HostName;
  readonly uri: SecretRef;
}

async function withServer<T>(
  target: Target,
  { signal, reachWithinMs = 5_000 }: AskOptions,
  ask: (client: MongoClient) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const uri = await readSecret(target.uri);
  const client = clientOf(target, uri, reachWithinMs);
  const close = (): void => void client.close(true).catch(() => undefined);
  signal?.addEventListener('abort', close, { once: true });
  try {
    await client.connect();
    return await ask(client);
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw asFailure(error, target, uri);
  } finally {
    signal?.removeEventListener('abort', close);
    await client.close().catch(() => undefined);
  }
}

function clientOf(target: Target, uri: string, reachWithinMs: number): MongoClient {
  try {
    return new MongoClient(uri, {
      appName: 'coldbackup',
      directConnection: true,
      readPreference: 'primaryPreferred',
      serverSelectionTimeoutMS: reachWithinMs,
      connectTimeoutMS: reachWithinMs,
      retryReads: false,
      retryWrites: false,
      maxPoolSize: 2,
    });
  } catch (error) {
    // The parser's messages quote the uri.
    const why = error instanceof MongoParseError ? '' : ` (${scrub(String(error), uri)})`;
    throw refusal(
      `${target.what}, on host ${target.host}: ${referenceText(target.uri)} holds no usable MongoDB uri${why}. It must name one server, as mongodb://user:password@host:port/?authSource=admin.`,
    );
  }
}

function asFailure(error: unknown, target: Target, uri: string): Error {
  if (error instanceof ApplicationFailure || isNotPrimary(error)) return error as Error;
  const said = scrub(error instanceof Error ? error.message : String(error), uri).replace(/\.$/, '');
  const where = `${target.what}, asked from host ${target.host}`;
  if (error instanceof MongoServerError && notAuthorised.has(Number(error.code)))
    return refusal(
      `${where}: ${said}. Users made through mongos do not exist on the shards: check user, password and role in ${referenceText(target.uri)} against docs/mongodb.md.`,
    );
  if (error instanceof MongoServerError)
    return trouble(`${where}: ${said} (${error.codeName ?? `code ${String(error.code)}`})`);
  return trouble(`${where}: ${said}. Is the server up, and does ${referenceText(target.uri)} name it?`);
}

/** What a message says, without the uri and its password. */
function scrub(message: string, uri: string): string {
  const login = /^[a-z+]+:\/\/([^/]*)@/.exec(uri)?.[1] ?? '';
  const password = login.slice(login.indexOf(':') + 1);
  const rest = uri.replace(/^[a-z+]+:\/\//, '').trim();
  return [uri, rest, login, password, decode(password)]
    .filter((secret) => secret !== '')
    .reduce((text, secret) => text.replaceAll(secret, '***'), message)
    .replace(/, (lsid|\$clusterTime): .*\}/, ' }') // The server quotes the command with all that the driver adds.
    .slice(0, 800);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
