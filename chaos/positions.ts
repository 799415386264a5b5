import { signalGroup } from '../activities/system/processes.ts';
import { programOf, runningProcesses } from './processes.ts';
import type { Seen } from './seen.ts';
import type { Host, ServiceName } from './site.ts';
import { serviceNames } from './site.ts';

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
  {
    name: 'in step 4 (the copy)',
    host: 'db-1',
    reached: (seen) => readerOf(seen) !== null,
    passed: ({ journals }) => [...journals['db-1'].jobs.values()].some(({ ended }) => ended),
    hold: holdReader,
  },
  {
    name: 'after the copy, before the set is there',
    host: 'db-1',
    reached: ({ journals }) => [...journals['db-1'].jobs.values()].some(({ artifact }) => artifact !== null),
    passed: (seen) => seen.hasManifest(),
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
    passed: (seen) => serviceNames.some((name) => seen.starts(name) > 0),
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
