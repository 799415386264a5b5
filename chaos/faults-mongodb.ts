import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '../demo/local/wait.ts';
import { notUp } from './checks.ts';
import type { Fault, Strike } from './fault.ts';
import type { BalancerFaults, ChaosMongodb, MemberService, SetFaults } from './mongodb.ts';
import { databaseHost } from './site.ts';

/** As a service manager that starts again what died. */
const restartAfterMs = 5_000;
const asked = new WeakSet<Strike>();
const killed = new WeakMap<Strike, MemberService>();

/** What befalls a replica set in the night that copies one of its members. */
export const mongodbFaults: readonly Fault[] = [
  {
    name: 'another mongod dies, started again 5 s later',
    ...{ site: 'mongodb', night: 'patient', withinMs: 60_000 },
    takesTime: true,
    strike: killAnother,
    end: async (cell) => {
      await sleep(restartAfterMs);
      await startKilled(cell);
    },
  },
  {
    name: 'another mongod dies, and stays dead until all else is back',
    ...{ site: 'mongodb', night: 'patient', withinMs: 60_000 },
    takesTime: true,
    strike: killAnother,
    end: async (cell) => {
      const { rig } = cell;
      const others = rig.site.serviceNames.filter((name) => name !== killed.get(cell));
      const isBack = () => notUp(rig, others) === undefined && rig.site.starts('web') > 0;
      await waitFor(isBack, { what: 'all else', withinMs: 120_000 });
      await startKilled(cell);
    },
  },
  {
    name: 'somebody starts the member that is copied',
    ...{ site: 'mongodb', night: 'patient', withinMs: 60_000 },
    starts: 2,
    takesTime: true,
    notAt: ({ name }) => (/its copy|is copied/.test(name) ? undefined : 'no member is down to be copied'),
    strike: async ({ rig }) => rig.site.startByForce(stoppedMember(rig)),
    never: ['complete'],
  },
  {
    name: 'an election',
    ...{ site: 'mongodb', night: 'patient', withinMs: 60_000 },
    notAt: ({ name }) => (/look-up/.test(name) ? undefined : 'it is about who was looked up'),
    strike: async ({ rig }) => {
      await setOf(rig).elect();
    },
    // The set alone is done again, with whoever is elected now.
    never: ['failed', 'no-go', 'incomplete', 'not-back', 'cancelled'],
  },
  {
    name: 'the balancer does not stop, past up-by',
    ...{ site: 'sharded', night: 'short', withinMs: 60_000 },
    notAt: ({ name }) => (/the wait\)/.test(name) ? undefined : 'its round hangs before it is asked to stop'),
    strike: ({ rig }) => balancerOf(rig).hang(),
    end: async (cell) => {
      const { rig } = cell;
      const isAsked = async () => (await balancerOf(rig).isAskedInVain()) && rig.site.isHeld('archive');
      await waitFor(isAsked, { what: 'the balancer to be asked to stop', withinMs: 90_000 });
      asked.add(cell);
    },
    notSeen: (cell) => (asked.has(cell) ? undefined : 'nobody asked the balancer to stop'),
    mend: ({ rig }) => balancerOf(rig).goOn(),
    never: ['complete'],
  },
];

/** One that the night does not stop: neither the elected one nor the one that is stopped. */
async function killAnother(cell: Strike): Promise<void> {
  const { rig } = cell;
  const set = setOf(rig);
  const changed = [...rig.journal(databaseHost).entries.values()].map(({ change }) =>
    'service' in change ? change.service : null,
  );
  const touched: readonly (string | null)[] = [...changed, await set.primary().catch(() => null)];
  const other = mongodbOf(rig).services.find((name) => !touched.includes(name));
  if (other === undefined) throw new Error('no member is left to die');
  set.kill(other);
  killed.set(cell, other);
}

async function startKilled(cell: Strike): Promise<void> {
  const name = killed.get(cell);
  if (name === undefined) throw new Error('no member was killed');
  await waitFor(() => !cell.rig.site.isRunning(name), { what: `${name} to be gone`, withinMs: 10_000 });
  await cell.rig.site.startByForce(name);
}

function stoppedMember(rig: Strike['rig']): MemberService {
  const name = mongodbOf(rig).services.find((service) => !rig.site.isRunning(service));
  if (name === undefined) throw new Error('no member is stopped');
  return name;
}

function setOf(rig: Strike['rig']): SetFaults {
  const { set } = mongodbOf(rig);
  if (set === null) throw new Error('this site has no replica set of its own');
  return set;
}

function balancerOf(rig: Strike['rig']): BalancerFaults {
  const { balancer } = mongodbOf(rig);
  if (balancer === null) throw new Error('this site has no balancer');
  return balancer;
}

function mongodbOf({ site }: Strike['rig']): ChaosMongodb {
  if (site.mongodb === null) throw new Error('this site has no MongoDB');
  return site.mongodb;
}
