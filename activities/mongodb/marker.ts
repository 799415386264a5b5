import { MongoServerError, type Document, type MongoClient, type Timestamp } from 'mongodb';
import type { Optime } from '../../model/ledger.ts';
import type { Site } from '../../model/site.ts';
import { isNotPrimary, withMember, type AskOptions } from './connect.ts';
import { refusal, trouble } from './errors.ts';
import { readConfig } from './topology.ts';
import { optimeOf } from './optime.ts';

const majorityWithinMs = 30_000;

/**
 * Writes a no-op into the oplog of the set whose primary this member is, and returns its optime once a majority has
 * it. null: the member is not primary (any more).
 */
export async function writeMarker(
  site: Site,
  database: string,
  member: string,
  note: string,
  options: AskOptions = {},
): Promise<Optime | null> {
  try {
    return await withMember(
      site,
      database,
      member,
      (client) => mark(client, `${database} member ${member}`, note),
      options,
    );
  } catch (error) {
    if (isNotPrimary(error)) return null;
    throw error;
  }
}

/** Whom the member sees as primary; its name as the configuration has it. */
export async function readPrimary(
  site: Site,
  database: string,
  member: string,
  options: AskOptions = {},
): Promise<string | null> {
  return withMember(
    site,
    database,
    member,
    async (client) => {
      const hello = await client.db('admin').command({ hello: 1 });
      if (typeof hello['primary'] === 'string') return hello['primary'];
      return hello['setName'] === undefined && hello['isWritablePrimary'] === true ? member : null;
    },
    options,
  );
}

async function mark(client: MongoClient, what: string, note: string): Promise<Optime> {
  if (!(await readConfig(client)))
    throw refusal(`${what} is a standalone server: it has no oplog, and needs no marker.`);
  const answer = await append(client, what, note);
  const oplog = client.db('local').collection('oplog.rs');
  const ts = answer['operationTime'] as Timestamp;
  const entry =
    (await oplog.findOne({ ts, op: 'n', 'o.coldbackup': note })) ??
    (await oplog.findOne({ ts: { $gte: ts }, op: 'n', 'o.coldbackup': note }));
  const optime = entry && optimeOf(entry);
  if (!optime) throw trouble(`${what}: the marker was written and is not in the oplog at ${ts.t},${ts.i}.`);
  return optime;
}

async function append(client: MongoClient, what: string, note: string): Promise<Document> {
  try {
    return await client.db('admin').command({
      appendOplogNote: 1,
      data: { coldbackup: note },
      writeConcern: { w: 'majority', wtimeout: majorityWithinMs },
    });
  } catch (error) {
    // 64 WriteConcernFailed: too few members have it in time.
    if (error instanceof MongoServerError && (error.code === 64 || error.codeName === 'WriteConcernTimeout'))
      throw trouble(
        `${what}: no majority of the set had the marker within ${majorityWithinMs} ms. Look for lagging members with rs.printSecondaryReplicationInfo().`,
      );
    throw error;
  }
}
