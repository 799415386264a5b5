import type { Document, MongoClient } from 'mongodb';
import type { RejoinAnswer } from '../../model/activities.ts';
import type { PlanRejoin } from '../../model/plan.ts';
import type { Check } from '../../model/progress.ts';
import type { HostName, Site } from '../../model/site.ts';
import { isSameRelease } from '../drill/isolated.ts';
import { withMember } from './connect.ts';
import { asSeenBy, lacksMajorityWithout, readStatus, type MemberStatus } from './member-status.ts';
import { compareOptimes, optimeOf, optimeText, reached, timestampOf } from './optime.ts';
import { poll, type Patience } from './poll.ts';
import { setIdOf } from './topology.ts';

type Row = Omit<Check, 'host' | 'subject'>;

interface Asked {
  readonly name: string;
  readonly isPrimary: boolean;
  readonly rows: readonly Row[];
}

/**
 * What the members on this host say of one of their set that is to be replaced by an older copy, which then catches up by the
 * oplog. Changes nothing. A member that goes back in time forgets what it has acknowledged: so the others alone must be a
 * majority, and have all that a majority had. And the copy must be of their history: its point, a marker that was written
 * with majority, must still be in the oplog that it will be read from; otherwise the member would be too stale, or roll back.
 *
 * https://www.mongodb.com/docs/manual/tutorial/resync-replica-set-member/
 */
export async function checkRejoin(
  site: Site,
  host: HostName,
  database: string,
  rejoins: PlanRejoin,
  patience: Patience,
): Promise<readonly Check[]> {
  const asked = await askOthers(site, host, database, rejoins, patience);
  return asked.flatMap(({ name, rows }) =>
    rows.map((row) => ({ host, subject: `restore ${database} ${name}`, ...row })),
  );
}

/** The same, asked once more right before the member is stopped. */
export async function mayRejoin(
  site: Site,
  host: HostName,
  database: string,
  rejoins: PlanRejoin,
  patience: Patience,
): Promise<RejoinAnswer> {
  const asked = await askOthers(site, host, database, rejoins, patience);
  return {
    problems: asked.flatMap(({ name, rows }) =>
      rows.filter(({ verdict }) => verdict === 'no-go').map(({ detail }) => `${name}: ${detail}`),
    ),
    hasPrimary: asked.some(({ isPrimary }) => isPrimary),
  };
}

async function askOthers(
  site: Site,
  host: HostName,
  database: string,
  rejoins: PlanRejoin,
  patience: Patience,
): Promise<readonly Asked[]> {
  const here = rejoins.others.filter((other) => other.host === host);
  return Promise.all(
    here.map(({ name }) =>
      withMember(
        site,
        database,
        name,
        async (client) => ({ name, ...(await askOne(client, rejoins, patience)) }),
        patience,
      ).catch((error: unknown): Asked => {
        patience.signal?.throwIfAborted();
        const why = error instanceof Error ? error.message : String(error);
        return { name, isPrimary: false, rows: [warning(`it cannot be asked: ${why}`)] };
      }),
    ),
  );
}

async function askOne(
  client: MongoClient,
  rejoins: PlanRejoin,
  patience: Patience,
): Promise<Omit<Asked, 'name'>> {
  const { member, setId, version } = rejoins;
  const status = await readStatus(client);
  if (status === null)
    return { isPrimary: false, rows: [noGo('it is a standalone server, and no member of a replica set')] };
  const admin = client.db('admin');
  const config = (await admin.command({ replSetGetConfig: 1 }))['config'] as Document;
  const release = String((await admin.command({ buildInfo: 1 }))['version']);
  const seen = asSeenBy(member, status);
  const problems = [
    ...(setIdOf(config) === setId
      ? []
      : ['it is of another replica set than the copy: that was set up anew since, or restored elsewhere']),
    ...(isSameRelease(release, version)
      ? []
      : [`it is mongod ${release}, and the set was written by ${version}`]),
    ...(seen === null ? [`${member} is no member of its set: add it with rs.add() first`] : []),
    ...(seen?.state === 'PRIMARY'
      ? [
          `${member} is the primary of the set, whose data is what the others follow: have another one elected (rs.stepDown()), or restore all of it`,
        ]
      : []),
    ...(seen === null ? [] : await lackOf(client, member, seen, patience)),
  ];
  const rows =
    problems.length > 0
      ? problems.map((problem) => noGo(problem))
      : [await reachRow(client, status, rejoins)];
  return { isPrimary: status.state === 'PRIMARY', rows };
}

/** Without the member the others are a majority, and have what a majority had when this was asked. */
async function lackOf(
  client: MongoClient,
  member: string,
  seen: MemberStatus,
  patience: Patience,
): Promise<readonly string[]> {
  const lack = lacksMajorityWithout(seen);
  if (lack !== null) return [`${member} cannot be replaced, as its set would lose its majority: ${lack}`];
  const { committed } = seen;
  if (committed === null) return ['it does not know what a majority of its set has'];
  const end = await poll(async () => {
    const status = await readStatus(client);
    const others = (status && asSeenBy(member, status))?.others ?? [];
    const have = others.filter(
      ({ votes, isArbiter, healthy, applied }) =>
        votes > 0 && !isArbiter && healthy && reached(applied, committed),
    );
    return have.length >= seen.writeMajority
      ? { value: true }
      : { still: `only ${have.map(({ name }) => name).join(', ') || 'none'} of the others` };
  }, patience);
  return 'value' in end
    ? []
    : [
        `${end.still} had reached ${optimeText(committed)}, which was acknowledged by a majority with ${member}: it might be lost with it`,
      ];
}

/** Only of the primary it is known that the member can read from it. */
async function reachRow(
  client: MongoClient,
  status: MemberStatus,
  { member, point }: PlanRejoin,
): Promise<Row> {
  const oplog = client.db('local').collection('oplog.rs');
  const at = await oplog.findOne({ ts: timestampOf(point) });
  const found = at && optimeOf(at);
  if (found === null || compareOptimes(found, point) !== 0) {
    const detail = `${status.state}; the point of the set, ${optimeText(point)}, is not in its oplog: it does not reach back to it any more, or its history is another`;
    return status.state === 'PRIMARY'
      ? noGo(detail, 'take a newer set, or let the member synchronise itself on an empty folder')
      : warning(detail);
  }
  const first = await oplog.find().sort({ $natural: 1 }).limit(1).next();
  const seconds = timestampOf(point).t - Number((first && optimeOf(first)?.ts.split(',')[0]) ?? 0);
  return {
    verdict: 'go',
    detail: `${status.state}; the set keeps its majority without ${member}, and has all that was acknowledged; its oplog begins ${Math.floor(seconds / 60)} min before the point of the set`,
  };
}

function noGo(detail: string, hint?: string): Row {
  return { verdict: 'no-go', detail, ...(hint !== undefined && { hint }) };
}

function warning(detail: string): Row {
  return { verdict: 'warning', detail };
}
