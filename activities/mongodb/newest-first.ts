import type { Optime } from '../../model/ledger.ts';
import type { Site } from '../../model/site.ts';
import { withMember, type AskOptions } from './connect.ts';
import { engineOf } from './engine.ts';
import { readStatus, type MemberStatus } from './member-status.ts';
import { compareOptimes, reached } from './optime.ts';

/**
 * The members of its set that the site file names, who is best asked first: PRIMARY or SECONDARY, neither delayed nor
 * out of reach; at the marker, or else the newest; and a secondary, which serves nobody's writes. Of the others it
 * knows what their last heartbeats said.
 */
export async function newestFirst(
  site: Site,
  database: string,
  member: string,
  marker: Optime | null,
  options: AskOptions = {},
): Promise<readonly string[]> {
  const named = Object.keys(engineOf(site, database).members);
  return withMember(
    site,
    database,
    member,
    async (client) => {
      const status = await readStatus(client);
      return status === null ? [member] : inOrder(named, status, marker);
    },
    options,
  );
}

type Seen = MemberStatus['others'][number];

function inOrder(named: readonly string[], status: MemberStatus, marker: Optime | null): readonly string[] {
  const { self, state, applied, others } = status;
  const seen = [{ ...self, state, applied, healthy: true }, ...others].filter(({ isArbiter }) => !isArbiter);
  const at = (one: Seen) => marker !== null && reached(one.applied, marker);
  return named
    .flatMap((name) => seen.filter((one) => one.name === name))
    .toSorted(
      (a, b) =>
        Number(isFit(b)) - Number(isFit(a)) ||
        Number(at(b)) - Number(at(a)) ||
        (at(a) ? 0 : newer(a, b)) ||
        Number(a.state === 'PRIMARY') - Number(b.state === 'PRIMARY'),
    )
    .map(({ name }) => name);
}

function isFit({ healthy, state, delaySecs }: Seen): boolean {
  return healthy && delaySecs === 0 && ['PRIMARY', 'SECONDARY'].includes(state);
}

/** Negative: a is newer. */
function newer({ applied: a }: Seen, { applied: b }: Seen): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  return compareOptimes(b, a);
}
