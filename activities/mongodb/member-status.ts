import { MongoServerError, type Document, type MongoClient } from 'mongodb';
import type { Optime } from '../../model/ledger.ts';
import { optimeOf } from './optime.ts';

/** What a member knows of itself and of its set, from replSetGetStatus and replSetGetConfig. */
export interface MemberStatus {
  readonly state: string;
  readonly isSyncing: boolean;
  readonly applied: Optime | null;
  readonly durable: Optime | null;
  /** The majority commit point, as this member knows it. */
  readonly committed: Optime | null;
  readonly writeMajority: number;
  readonly voteMajority: number;
  readonly self: MemberConfig;
  readonly others: readonly (MemberConfig & {
    readonly state: string;
    readonly healthy: boolean;
    readonly applied: Optime | null;
  })[];
}

export interface MemberConfig {
  readonly name: string;
  readonly votes: number;
  readonly isArbiter: boolean;
  readonly delaySecs: number;
}

/** null: a standalone server. Throws while the server has not yet read its configuration. */
export async function readStatus(client: MongoClient): Promise<MemberStatus | null> {
  const admin = client.db('admin');
  const status = await statusOf(client);
  if (!status) return null;
  const config = (await admin.command({ replSetGetConfig: 1 }))['config'] as Document;
  const members = status['members'] as Document[];
  const optimes = status['optimes'] as Document | undefined;
  const self = members.find((m) => m['self'] === true);
  const configs = config['members'] as Document[];
  const configOf = (name: unknown): MemberConfig => {
    const found = configs.find((m) => m['host'] === name) ?? {};
    return {
      name: String(name),
      votes: Number(found['votes'] ?? 1),
      isArbiter: found['arbiterOnly'] === true,
      delaySecs: Number(found['secondaryDelaySecs'] ?? found['slaveDelay'] ?? 0),
    };
  };
  return {
    state: String(self?.['stateStr'] ?? 'UNKNOWN'),
    isSyncing: status['initialSyncStatus'] !== undefined,
    applied: optimeOf(optimes?.['appliedOpTime'] as Document | undefined),
    durable: optimeOf(optimes?.['durableOpTime'] as Document | undefined),
    committed: optimeOf(optimes?.['lastCommittedOpTime'] as Document | undefined),
    writeMajority: Number(status['writeMajorityCount']),
    voteMajority: Number(status['majorityVoteCount']),
    self: configOf(self?.['name']),
    others: members
      .filter((m) => m['self'] !== true)
      .map((m) => ({
        ...configOf(m['name']),
        state: String(m['stateStr']),
        healthy: m['health'] === 1,
        applied: optimeOf(m['optime'] as Document | undefined),
      })),
  };
}

/**
 * What keeps the set from living without this member, null if nothing does. Only data-bearing voters that are
 * PRIMARY or SECONDARY and not delayed count for writes: an arbiter acknowledges none.
 */
export function lacksMajorityWithout(status: MemberStatus): string | null {
  const voters = status.others.filter((m) => m.healthy && m.votes > 0);
  const bearing = voters.filter(
    (m) => !m.isArbiter && m.delaySecs === 0 && ['PRIMARY', 'SECONDARY'].includes(m.state),
  );
  const left = bearing.map((m) => m.name).join(', ') || 'none';
  if (bearing.length < status.writeMajority)
    return `${bearing.length} healthy data-bearing voters would be left (${left}), a majority write needs ${status.writeMajority}`;
  const canVote = voters.filter((m) => m.isArbiter || ['PRIMARY', 'SECONDARY'].includes(m.state));
  return canVote.length < status.voteMajority
    ? `${canVote.length} healthy voters would be left, an election needs ${status.voteMajority}`
    : null;
}

/** The same as if `member` had said it, who may be gone: who was asked is one of the others. null: no member of the set. */
export function asSeenBy(member: string, status: MemberStatus): MemberStatus | null {
  const self = status.others.find(({ name }) => name === member);
  if (self === undefined) return null;
  const asked = { ...status.self, state: status.state, healthy: true, applied: status.applied };
  const { state, applied } = self;
  const others = [asked, ...status.others.filter((other) => other !== self)];
  return { ...status, ...{ state, applied, durable: null, isSyncing: false, self, others } };
}

async function statusOf(client: MongoClient): Promise<Document | null> {
  try {
    return await client.db('admin').command({ replSetGetStatus: 1 });
  } catch (error) {
    // 76 NoReplicationEnabled: the server was started without a replica set.
    if (error instanceof MongoServerError && error.code === 76) return null;
    throw error;
  }
}
