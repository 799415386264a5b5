import { MongoClient, MongoServerError, type Document } from 'mongodb';
import type { CheckAnswer } from '../../model/activities.ts';
import type { MongodbSetRecord } from '../../model/manifest.ts';
import type { DrillCheck } from '../../model/site.ts';
import { compareFingerprints } from '../mongodb/compare-fingerprints.ts';
import { fingerprintOf, userCollections } from '../mongodb/fingerprint.ts';
import { fromPlain } from '../mongodb/plain.ts';
import { refusedDrill } from './isolated.ts';

export interface Compared {
  readonly problems: readonly string[];
  readonly notCompared: readonly string[];
  readonly answers: readonly CheckAnswer[];
}

/** Asks an opened copy what it holds: the fingerprint that was taken at rest, and the checks of the site file. */
export async function compareMongodb(
  uri: string,
  record: MongodbSetRecord,
  checks: readonly DrillCheck[],
  signal: AbortSignal,
): Promise<Compared> {
  const client = new MongoClient(uri, { serverSelectionTimeoutMS: 10_000 });
  const close = (): void => void client.close(true).catch(() => undefined);
  signal.addEventListener('abort', close, { once: true });
  try {
    const { problems, notCompared } = await compareContent(client, record);
    const answers: CheckAnswer[] = [];
    // What makes a cluster holds nobody's documents.
    if (record.role !== 'config') for (const check of checks) answers.push(await answerOf(client, check));
    return { problems, notCompared, answers };
  } finally {
    signal.removeEventListener('abort', close);
    await client.close().catch(() => undefined);
  }
}

async function compareContent(
  client: MongoClient,
  { artifact, fingerprint }: MongodbSetRecord,
): Promise<Pick<Compared, 'problems' | 'notCompared'>> {
  const why = fingerprint === null ? 'no other member could be asked at the backup' : fingerprint['none'];
  if (fingerprint === null || why !== undefined) {
    const problems = await invalidCollections(client);
    const text = `${artifact}: fingerprint: none (${String(why)}); every collection was validated instead`;
    return { problems: problems.map((one) => `${artifact}: ${one}`), notCompared: [text] };
  }
  const differences = compareFingerprints(fingerprint, await fingerprintOf(client));
  return { problems: differences.map((one) => `${artifact}: ${one}`), notCompared: [] };
}

/** Documents and indexes agree, as far as the server itself can tell. */
async function invalidCollections(client: MongoClient): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const { db, collection } of await userCollections(client)) {
    const answer = await client.db(db).command({ validate: collection });
    if (answer['valid'] !== true)
      problems.push(`${db}.${collection} is not valid: ${JSON.stringify(answer['errors'])}`);
  }
  return problems;
}

async function answerOf(client: MongoClient, check: DrillCheck): Promise<CheckAnswer> {
  const { db, collection, expect, filter: asked = {} } = check;
  const filter: Document = fromPlain(asked);
  const documents = client.db(db).collection(collection);
  const what = wordsOf(check);
  try {
    const found = await documents.countDocuments(filter);
    const equal =
      expect.kind === 'field'
        ? await documents.countDocuments({ $and: [filter, { [expect.field]: expect.is }] })
        : 0;
    return { what, expect, found, equal };
  } catch (error) {
    // All that it would read was read before: what the server refuses is the question.
    if (!(error instanceof MongoServerError)) throw error;
    throw refusedDrill(
      `The check ${what} cannot be asked, which says nothing about the set: ${error.message}. Correct drill.checks.`,
    );
  }
}

function wordsOf({ database, db, collection, filter, expect }: DrillCheck): string {
  const of = `${database}: ${db}.${collection}${filter === undefined ? '' : ` ${JSON.stringify(filter)}`}`;
  if (expect.kind === 'field') return `${of}: ${expect.field} is ${JSON.stringify(expect.is)}`;
  return `${of}: ${expect.kind === 'count' ? '' : 'at least '}${expect.count}`;
}
