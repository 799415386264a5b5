import { signalGroup } from '../activities/system/processes.ts';
import type { SetFaults } from './mongodb.ts';
import { programOf, runningProcesses } from './processes.ts';
import type { Seen } from './seen.ts';
import type { Rig } from './rig.ts';
import { databaseHost, type Host, type ServiceName, type SiteKind } from './site.ts';

/** A place in the night, known by what journals, services and the store show: no clock decides. */
export interface Position {
  readonly name: string;
  /** Whose agent is meant where a fault is an agent's. */
  readonly host: Host;
  reached(seen: Seen): boolean;
  /** It is over: a fault that strikes now does not count. */
  passed(seen: Seen): boolean;
  /** Keeps the night here, as a slow tree or a count that is not reached does; gives what lets it go on. */
  hold?(seen: Seen): (() => void) | null;
  /** Once both hosts are claimed: prepares what `reached` asks. Gives what undoes it. */
  arm?(rig: Rig): Promise<() => Promise<void>>;
  /** The only kind of site that has it; any has it unless told. */
  readonly site?: SiteKind;
  /** The wait is not over before its position is. */
  readonly busy?: boolean;
  /** Only nights that restart at a time come here. */
  readonly short?: boolean;
}

export const positions: readonly Position[] = [
  {
    name: 'before the claim',
    host: 'app-1',
    reached: () => true,
    passed: (seen) => seen.claimed('app-1') || seen.claimed('db-1'),
  },
  {
    name: 'before step 1',
    host: 'app-1',
    reached: (seen) => seen.claimed('app-1') && seen.claimed('db-1'),
    passed: (seen) => seen.entry('web') !== null,
  },
  { name: 'in step 1 (web stops)', host: 'app-1', ...whileStopping('web') },
  {
    name: 'between steps 1 and 2',
    host: 'app-1',
    reached: (seen) => isEnded(seen, 'spare'),
    passed: ({ rig }) => rig.site.asked(),
  },
  {
    name: 'in step 2 (the wait)',
    host: 'app-1',
    busy: true,
    reached: ({ rig }) => rig.site.asked(),
    passed: (seen) => seen.entry('worker') !== null,
  },
  {
    name: 'between steps 2 and 3',
    host: 'app-1',
    reached: ({ rig }) => rig.site.asked(true),
    passed: (seen) => seen.entry('worker') !== null,
  },
  { name: 'in step 3 (archive stops)', host: 'db-1', ...whileStopping('archive') },
  {
    name: 'between steps 3 and 4',
    host: 'db-1',
    reached: (seen) => isEnded(seen, 'archive'),
    passed: ({ journals }) => journals['db-1'].jobs.size > 0,
  },
  lookedUp(),
  {
    name: 'in step 4, the primary stops',
    ...{ site: 'mongodb', host: databaseHost },
    reached: (seen) => isNow(seen, 'stopping'),
    passed: (seen) => (seen.member()?.endedAt ?? null) !== null,
  },
  {
    name: 'in step 4, between the stop of the primary and its copy',
    ...{ site: 'mongodb', host: databaseHost },
    reached: (seen) => (seen.member()?.endedAt ?? null) !== null,
    passed: ({ journals }) => journals[databaseHost].jobs.size > 0,
  },
  {
    name: 'in step 4 (the copy)',
    host: 'db-1',
    reached: (seen) => readerOf(seen) !== null,
    passed: (seen) => isCopied(seen),
    hold: holdReader,
  },
  {
    name: 'in step 4 (a member is copied)',
    ...{ site: 'mongodb', host: databaseHost },
    reached: (seen) => readerOf(seen) !== null,
    passed: (seen) => isCopied(seen),
    hold: holdReader,
  },
  {
    name: 'after the copy, before the set is there',
    host: 'db-1',
    reached: ({ journals }) => [...journals['db-1'].jobs.values()].some(({ artifact }) => artifact !== null),
    passed: (seen) => seen.hasManifest(),
  },
  {
    name: 'in bringing back (the member starts)',
    ...{ site: 'mongodb', host: databaseHost },
    reached: (seen) => isNow(seen, 'starting'),
    passed: (seen) => (seen.member()?.undoneAt ?? null) !== null,
  },
  {
    name: 'in the wait for the restart',
    host: 'db-1',
    short: true,
    reached: (seen) => seen.hasManifest() && !isBringingBack(seen),
    passed: (seen) => seen.hasManifest() && isBringingBack(seen),
  },
  {
    name: 'before bringing back',
    host: 'app-1',
    reached: (seen) => seen.takenOver('app-1'),
    passed: (seen) => seen.rig.site.serviceNames.some((name) => seen.starts(name) > 0),
  },
  { name: 'in bringing back (archive starts)', host: 'db-1', ...whileStarting('archive') },
  {
    name: 'between two undos',
    host: 'app-1',
    reached: (seen) => isUndone(seen, 'worker'),
    passed: (seen) => seen.starts('web') > 0,
  },
  { name: 'in bringing back (web starts)', host: 'app-1', ...whileStarting('web') },
  {
    name: 'before the release',
    host: 'app-1',
    reached: (seen) => isUndone(seen, 'web'),
    passed: (seen) => seen.starts('web') > 0 && !seen.claimed('app-1'),
  },
];

function lookedUp(): Position {
  let held: Awaited<ReturnType<SetFaults['holdDescribe']>> | null = null;
  return {
    name: 'in step 4, between the look-up of the primary and its stop',
    ...{ site: 'mongodb', host: databaseHost },
    arm: async ({ site }) => {
      const now = await site.mongodb?.set?.holdDescribe();
      held = now ?? null;
      return async () => now?.letGo();
    },
    reached: () => held?.isHeld() === true,
    passed: (seen) => seen.member() !== null,
  };
}

/** By its journal and its service: no server answers while it goes or comes. */
function isNow(seen: Seen, what: 'stopping' | 'starting'): boolean {
  const member = seen.member();
  if (member?.change.kind !== 'service-stopped') return false;
  const runs = seen.rig.site.isRunning(member.change.service as ServiceName);
  const isStopped = member.endedAt !== null;
  return runs && (what === 'stopping' ? !isStopped : isStopped && member.undoneAt === null);
}

function whileStopping(name: ServiceName): Pick<Position, 'reached' | 'passed'> {
  return {
    reached: (seen) => seen.entry(name) !== null && seen.rig.site.isStopping(name),
    passed: (seen) => isEnded(seen, name),
  };
}

function whileStarting(name: ServiceName): Pick<Position, 'reached' | 'passed'> {
  return {
    reached: (seen) => seen.starts(name) > 0 && !seen.rig.site.isReady(name),
    passed: (seen) => seen.starts(name) > 0 && seen.rig.site.isReady(name),
  };
}

function isEnded(seen: Seen, name: ServiceName): boolean {
  return (seen.entry(name)?.endedAt ?? null) !== null;
}

function isCopied({ journals }: Seen): boolean {
  return [...journals['db-1'].jobs.values()].some(({ ended }) => ended);
}

function isUndone(seen: Seen, name: ServiceName): boolean {
  return (seen.entry(name)?.undoneAt ?? null) !== null;
}

function isBringingBack(seen: Seen): boolean {
  return seen.takenOver('app-1') || seen.takenOver('db-1') || !seen.claimed('app-1');
}

/** The tar that reads the tree; null: it does not run. */
function readerOf({ journals }: Seen) {
  return runningProcesses(journals['db-1']).find(({ pid }) => programOf(pid) === 'tar') ?? null;
}

function holdReader(seen: Seen): (() => void) | null {
  const reader = readerOf(seen);
  if (reader === null || !signalGroup(reader.pid, reader.startTime, 'SIGSTOP')) return null;
  return () => void signalGroup(reader.pid, reader.startTime, 'SIGCONT');
}
