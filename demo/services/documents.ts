import { appendFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  MongoClient,
  MongoServerError,
  MongoServerSelectionError,
  type Collection,
  type Document,
} from 'mongodb';
import type { DocumentSettings } from './settings.ts';

/** Inserts documents one after the other, and writes down each that a majority has. */
export interface DocumentWriter {
  insert(fields: Document): Promise<void>;
  close(): Promise<void>;
}

type Stored = Document & { _id: string };

const duplicateKey = 11000;
const giveUpMs = 10_000;

/**
 * @param label begins each _id: the service and its start.
 * @param file gets the _id of every acknowledged document, a line each.
 * @param stopping a write that no server has taken yet is given up then; any other is finished.
 */
export function createDocumentWriter(
  { uri, database, collection }: DocumentSettings,
  label: string,
  file: string,
  stopping: AbortSignal,
): DocumentWriter {
  const client = new MongoClient(uri, {
    ...{ appName: label, maxPoolSize: 1, w: 'majority', serverSelectionTimeoutMS: 5_000 },
  });
  const documents = client.db(database).collection<Stored>(collection);
  let last: Promise<void> = Promise.resolve();
  let count = 0;
  const insert = (fields: Document): Promise<void> => {
    const _id = `${label}-${String((count += 1)).padStart(5, '0')}`;
    const write = () => untilAcknowledged(documents, { ...fields, _id, at: new Date() }, stopping);
    return (last = last.then(write).then((isThere) => {
      if (isThere) appendFileSync(file, `${_id}\n`);
    }));
  };
  return {
    insert,
    close: async () => {
      await last;
      await client.close();
    },
  };
}

/**
 * A write whose outcome is not known is asked for again under the same _id: it is there once, and it is known. For as long as
 * the service is to run; when it is to stop, a write that no server can have taken is given up.
 */
async function untilAcknowledged(
  documents: Collection<Stored>,
  document: Stored,
  stopping: AbortSignal,
): Promise<boolean> {
  let mayBeThere = false;
  let giveUpAt: number | null = null;
  for (;;) {
    try {
      await documents.insertOne(document);
      return true;
    } catch (error) {
      if (error instanceof MongoServerError && error.code === duplicateKey) return true;
      mayBeThere ||= !(error instanceof MongoServerSelectionError);
      if (stopping.aborted) {
        if (!mayBeThere) return false;
        giveUpAt ??= Date.now() + giveUpMs;
        if (Date.now() > giveUpAt) throw error;
      }
      console.log(`${document._id} is tried again: ${String(error)}`);
      await sleep(100);
    }
  }
}
