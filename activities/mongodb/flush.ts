import { MongoServerError } from 'mongodb';
import type { Site } from '../../model/site.ts';
import { withMember, type AskOptions } from './connect.ts';

/** A checkpoint. false: the user may not ask for one, or the server has none to make now; the stop makes its own. */
export async function flushMember(
  site: Site,
  database: string,
  member: string,
  options: AskOptions = {},
): Promise<boolean> {
  return withMember(
    site,
    database,
    member,
    async (client) => {
      try {
        await client.db('admin').command({ fsync: 1 });
        return true;
      } catch (error) {
        if (error instanceof MongoServerError) return false;
        throw error;
      }
    },
    options,
  );
}
