import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '../demo/local/wait.ts';
import type { Apart } from './apart.ts';
import { notUp } from './checks.ts';
import { awayMs, type Fault, type Strike } from './fault.ts';

const hourMs = 3_600_000;
const jumpMs = 6 * hourMs;
const afterTheCopy = 'after the copy, before the set is there';

/** What befalls the network, a disk or the clock of a host that has its own. */
export const apartFaults: readonly Fault[] = [
  {
    name: 'host cut off whole, past up-by',
    ...{ site: 'apart', night: 'short', withinMs: 20_000 },
    strike: ({ rig, host }) => apartOf(rig).cutOff(host),
    mend: ({ rig, host }) => apartOf(rig).reconnect(host),
  },
  {
    name: 'host cut off whole for longer than the heartbeat timeout',
    ...{ site: 'apart', night: 'patient', withinMs: 90_000 },
    strike: ({ rig, host }) => apartOf(rig).cutOff(host),
    end: async ({ rig, host }) => {
      await sleep(awayMs);
      await apartOf(rig).reconnect(host);
    },
  },
  {
    name: 'the store is full',
    ...{ site: 'apart', night: 'patient', withinMs: 60_000 },
    keepsEarlier: true,
    takesTime: true,
    notAt: ({ name }) =>
      /before the claim|steps 3 and 4|step 4|after the copy/.test(name)
        ? undefined
        : 'nothing uses the store then',
    strike: ({ rig }) => apartOf(rig).fill('store'),
    mend: ({ rig }) => apartOf(rig).makeRoom('store'),
    never: ['complete'],
    says: /full|room/,
    tooLateFrom: afterTheCopy,
  },
  fullJournal(),
  {
    name: "the agent's clock jumps 6 h ahead",
    ...{ site: 'apart', night: 'patient', withinMs: 60_000 },
    takesTime: true,
    strike: ({ rig, host }) => apartOf(rig).setClock(host, jumpMs),
    mend: ({ rig, host }) => apartOf(rig).setClock(host, 0),
    // Its instant has come: it brings its host back, and lets nothing more go down.
    never: ['complete'],
    // The agent looks at its clock every 5 s: a copy that takes less may be over by then, and is a whole one.
    tooLateFrom: 'between steps 3 and 4',
  },
  {
    name: "the agent's clock jumps 6 h back",
    ...{ site: 'apart', night: 'patient', withinMs: 60_000 },
    takesTime: true,
    strike: ({ rig, host }) => apartOf(rig).setClock(host, -jumpMs),
    mend: ({ rig, host }) => apartOf(rig).setClock(host, 0),
  },
  {
    name: "the agent's clock jumps 6 h back, and control never comes back (with a watchdog)",
    ...{ site: 'apart', night: 'short', withinMs: 30_000 },
    watchdog: true,
    takesTime: true,
    strike: async ({ rig, host }) => {
      await apartOf(rig).setClock(host, -jumpMs);
      rig.control.kill('SIGKILL');
    },
    mend: async ({ rig, host }) => {
      await apartOf(rig).setClock(host, 0);
      await rig.startControl();
    },
  },
];

/** Room again once the services are back: a host that cannot write to its journal stays held until then. */
function fullJournal(): Fault {
  const loggedBefore = new WeakMap<Strike, number>();
  const wasRefused = (cell: Strike) =>
    /ENOSPC|JournalError/.test(cell.rig.logOf(cell.host).slice(loggedBefore.get(cell)));
  return {
    name: "the disk of the agent's journal is full",
    ...{ site: 'apart', night: 'patient', withinMs: 60_000 },
    takesTime: true,
    strike: async (cell) => {
      const { rig, host } = cell;
      loggedBefore.set(cell, rig.logOf(host).length);
      await apartOf(rig).fill(host);
    },
    end: async (cell) => {
      const { rig, host } = cell;
      const isBack = () => notUp(rig, rig.site.serviceNames) === undefined;
      try {
        await waitFor(() => wasRefused(cell), { what: 'a refused write', withinMs: 30_000 }).catch(
          () => undefined,
        );
        await waitFor(isBack, { what: 'the services', withinMs: 60_000 });
      } finally {
        apartOf(rig).makeRoom(host);
      }
    },
    mend: ({ rig, host }) => apartOf(rig).makeRoom(host),
    says: /ENOSPC/,
    notSeen: (cell) => (wasRefused(cell) ? undefined : 'nothing was written then'),
  };
}

function apartOf({ apart }: Strike['rig']): Apart {
  if (apart === null) throw new Error('the hosts of this site have nothing of their own');
  return apart;
}
