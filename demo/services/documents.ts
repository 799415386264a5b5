import { appendFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { MongoClient, MongoServerError, type Collection, type Document } from 'mongodb';
import type { DocumentSettings } from './settings.ts';

/** Inserts documents one after the other, and writes down each that a majority has. */
export interface DocumentWriter {
  insert(fields: Document): Promise<void>;
  close(): Promise<void>;
}

type Stored = Document & { _id: string };

const duplicateKey = 11000;
const giveUpMs = 30_000;

/**
 * @param label begins each _id: the service and its start.
 * @param file gets the _id of every acknowledged document, a line each.
 */
export function createDocumentWriter(
  { uri, database, collection }: DocumentSettings,
  label: string,
  file: string,
): DocumentWriter {
  const client = new MongoClient(uri, { appName: label, maxPoolSize: 1, w: 'majority' });
  const documents = client.db(database).collection<Stored>(collection);
  let last: Promise<void> = Promise.resolve();
  let count = 0;
  const insert = (fields: Document): Promise<void> => {
    const _id = `${label}-${String((count += 1)).padStart(5, '0')}`;
    last = last.then(() => untilAcknowledged(documents, { ...fields, _id, at: new Date() }));
    return (last = last.then(() => appendFileSync(file, `${_id}\n`)));
  };
  return {
    insert,
    close: async () => {
      await last;
      await client.close();
    },
  };
}

/** A write whose outcome is not known is asked for again under the same _id: it is there once, and it is known. */
async function untilAcknowledged(documents: Collection<Stored>, document: Stored): Promise<void> {
  const giveUpAt = Date.now() + giveUpMs;
  for (;;) {
    try {
      await documents.insertOne(document);
      return;
    } catch (error) {
      if (error instanceof MongoServerError && error.code === duplicateKey) return;
      if (Date.now() > giveUpAt) throw error;
      console.log(`${document._id} is tried again: ${String(error)}`);
      await sleep(100);
    }
  }
}
