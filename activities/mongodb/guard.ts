import type { MongoClient } from 'mongodb';
import type { MemberGuard } from '../../model/ledger.ts';
import type { Site } from '../../model/site.ts';
import { withMember } from './connect.ts';
import { engineOf } from './engine.ts';
import { refusal } from './errors.ts';
import { lacksMajorityWithout, readStatus, type MemberStatus } from './member-status.ts';
import { optimeText, reached } from './optime.ts';
import { writesAfter } from './oplog.ts';
import { poll, type Answer, type Patience } from './poll.ts';

/** A member that another stop or an election has just shaken is back by then; services are down meanwhile. */
const healWithinMs = 20_000;
/** States that may pass while the change still has time. */
const passing = new Set(['STARTUP', 'STARTUP2', 'RECOVERING', 'ROLLBACK', 'UNKNOWN']);

/**
 * Right before a member is stopped. `moved`: it no longer has the role, nothing may be stopped. Otherwise waits until
 * its own durable optime and the majority commit point that it knows have reached the marker: what is on its disk then
 * can neither be missing nor be rolled back. Refuses members whose copy would be worth nothing, a stop that takes the
 * majority away, and a set that somebody still writes to. Each refusal is for good.
 */
export async function checkGuard(
  site: Site,
  guard: MemberGuard,
  patience: Patience,
): Promise<'holds' | 'moved'> {
  const { database, member } = guard;
  const what = `${database} member ${member}`;
  const mayGoDown = engineOf(site, database).allow.includes('set-down');
  const healBy = Date.now() + healWithinMs;
  const end = await poll(
    () =>
      withMember(site, database, member, (client) => ask(client, guard, what, mayGoDown, healBy), patience),
    patience,
  );
  if ('value' in end) return end.value;
  throw refusal(`${what} was not stopped: ${end.still}.`);
}

async function ask(
  client: MongoClient,
  { role, marker }: MemberGuard,
  what: string,
  mayGoDown: boolean,
  healBy: number,
): Promise<Answer<'holds' | 'moved'>> {
  const status = await readStatus(client);
  if (role === 'standalone' || !status) {
    if (role === 'standalone' && !status) return { value: 'holds' };
    throw refusal(
      `${what} was not stopped: it is ${status ? `${status.state} of a replica set` : 'a standalone server'}, and not ${role}.`,
    );
  }
  refuseUnfit(status, what);
  if (passing.has(status.state)) return { still: `it is ${status.state}` };
  if (status.state.toLowerCase() !== role) return { value: 'moved' };
  if (!marker) throw refusal(`${what} was not stopped: there is no marker to compare with.`);
  if (!reached(status.durable, marker))
    return { still: `its disk is at ${optimeText(status.durable)}, before the marker ${optimeText(marker)}` };
  if (!reached(status.committed, marker))
    return {
      still: `its majority commit point is ${optimeText(status.committed)}, before the marker ${optimeText(marker)}`,
    };
  const lack = mayGoDown ? null : lacksMajorityWithout(status);
  if (lack !== null) {
    const still = `${lack}. Heal the set, or say allow: [set-down] in the site file`;
    if (Date.now() < healBy) return { still };
    throw refusal(`${what} was not stopped: ${still}.`);
  }
  const writes = await writesAfter(client, what, marker);
  if (writes.length > 0)
    throw refusal(`${what} was not stopped: somebody wrote after the marker: ${writes.join('; ')}.`);
  return { value: 'holds' };
}

function refuseUnfit({ state, isSyncing, self }: MemberStatus, what: string): void {
  const why =
    self.isArbiter || state === 'ARBITER'
      ? 'it is an arbiter and holds no data'
      : self.delaySecs > 0
        ? `it is delayed by ${self.delaySecs} s: its copy would be old`
        : isSyncing
          ? 'it is in its initial sync'
          : state === 'REMOVED'
            ? 'it is not in its set any more'
            : null;
  if (why !== null) throw refusal(`${what} was not stopped: ${why}.`);
}
