import { ApplicationFailure } from '@temporalio/common';
import type { MongoClient } from 'mongodb';
import type { Optime } from '../../model/ledger.ts';
import type { Site } from '../../model/site.ts';
import { withMember, withMongos } from './connect.ts';
import { refusal, trouble } from './errors.ts';
import { readStatus, type MemberStatus } from './member-status.ts';
import { compareOptimes, optimeText, reached } from './optime.ts';
import { poll, type Answer } from './poll.ts';

/**
 * Waits until a member that was started again is PRIMARY or SECONDARY in a set that has a primary, and has applied what
 * the set had when it came back. A rollback or an initial sync right after a restart is a loud failure: what was
 * copied is not what the set kept.
 */
export async function waitUntilMemberReady(
  site: Site,
  database: string,
  member: string,
  { withinMs, signal }: { readonly withinMs: number; readonly signal?: AbortSignal | undefined },
): Promise<void> {
  const what = `${database} member ${member}`;
  let target: Optime | null = null;
  const end = await poll(
    async () => {
      try {
        return await withMember(
          site,
          database,
          member,
          async (client) => {
            const status = await readStatus(client);
            if (!status) return ping(client);
            await refuseRollback(client, status, what);
            target ??= newestOfSet(status);
            return judge(status, target);
          },
          { signal, reachWithinMs: 2_000 },
        );
      } catch (error) {
        // A server that starts refuses connections, then logins, then questions.
        if (
          signal?.aborted ||
          (error instanceof ApplicationFailure && error.nonRetryable === true && isLoud(error))
        )
          throw error;
        return { still: error instanceof Error ? error.message : String(error) };
      }
    },
    { untilMs: Date.now() + withinMs, signal },
  );
  if ('still' in end)
    throw trouble(`${what} was started and was not ready within ${withinMs} ms: ${end.still}`);
}

/** Waits until mongos routes: it has found its config servers, and they have a primary. */
export async function waitUntilRouterReady(
  site: Site,
  database: string,
  { withinMs, signal }: { readonly withinMs: number; readonly signal?: AbortSignal | undefined },
): Promise<void> {
  const end = await poll(
    async () => {
      try {
        return await withMongos(
          site,
          database,
          async (mongos): Promise<Answer<true>> => {
            const shards = mongos.db('config').collection('shards');
            const found = await shards.findOne({}, { readConcern: { level: 'majority' }, maxTimeMS: 10_000 });
            return found === null ? { still: 'it knows no shard' } : { value: true };
          },
          { signal, reachWithinMs: 2_000 },
        );
      } catch (error) {
        if (signal?.aborted) throw error;
        return { still: error instanceof Error ? error.message : String(error) };
      }
    },
    { untilMs: Date.now() + withinMs, signal },
  );
  if ('still' in end)
    throw trouble(`${database} mongos was started and was not ready within ${withinMs} ms: ${end.still}`);
}

async function ping(client: MongoClient): Promise<Answer<true>> {
  const { ok } = await client.db('admin').command({ ping: 1 });
  return ok === 1 ? { value: true } : { still: 'it does not answer a ping' };
}

function judge(status: MemberStatus, target: Optime | null): Answer<true> {
  if (!['PRIMARY', 'SECONDARY'].includes(status.state)) return { still: `it is ${status.state}` };
  if (status.state !== 'PRIMARY' && !status.others.some((m) => m.state === 'PRIMARY' && m.healthy))
    return { still: 'its set has no primary' };
  if (target && !reached(status.applied, target))
    return { still: `it is at ${optimeText(status.applied)}, its set was at ${optimeText(target)}` };
  return { value: true };
}

/** Once a primary is seen: the newest optime among the members. */
function newestOfSet(status: MemberStatus): Optime | null {
  const primary = status.others.find((m) => m.state === 'PRIMARY' && m.healthy);
  if (!primary) return null;
  return [
    ...status.others.filter((m) => m.healthy).map((m) => m.applied),
    status.committed,
  ].reduce<Optime | null>((a, b) => (a && (!b || compareOptimes(a, b) >= 0) ? a : b), null);
}

const loudly = 'right after its restart';

async function refuseRollback(client: MongoClient, status: MemberStatus, what: string): Promise<void> {
  if (status.isSyncing)
    throw refusal(
      `${what} is in an initial sync ${loudly}: it found its data unusable. Its copy counts for nothing.`,
    );
  const { metrics } = (await client
    .db('admin')
    .command({ serverStatus: 1, repl: 0, wiredTiger: 0 })) as unknown as {
    metrics?: { repl?: { stateTransition?: { lastStateTransition?: string } } };
  };
  if (status.state === 'ROLLBACK' || metrics?.repl?.stateTransition?.lastStateTransition === 'rollback')
    throw refusal(
      `${what} rolls writes back ${loudly}: it held what its set did not keep. Its copy counts for nothing; look into its rollback folder.`,
    );
}

function isLoud(error: Error): boolean {
  return error.message.includes(loudly);
}
