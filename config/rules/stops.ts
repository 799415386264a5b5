import type { Site } from '../../model/site.ts';
import { formatPath } from '../problem.ts';
import type { Finding, Path } from '../problem.ts';
import { walkSteps } from './walk.ts';

/** A service is stopped once in a procedure; the members of a database that it backs up are stopped by the backup. */
export function stopRules(site: Site): readonly Finding[] {
  return Object.entries(site.procedures).flatMap(([name, { steps }]) => {
    const visits = walkSteps(steps, ['procedures', name, 'steps']);
    const stops = visits.flatMap(({ step, path }) =>
      step.kind === 'stop'
        ? step.services.map((service, index) => ({ service, path: [...path, 'stop', index] }))
        : [],
    );
    const backedUp = visits.flatMap(({ step }) => (step.kind === 'backup' ? step.databases : []));
    return [...stoppedTwice(stops), ...membersStopped(stops, membersOf(site, backedUp))];
  });
}

interface Stop {
  readonly service: string;
  readonly path: Path;
}

function stoppedTwice(stops: readonly Stop[]): readonly Finding[] {
  const first = new Map<string, Path>();
  return stops.flatMap(({ service, path }) => {
    const earlier = first.get(service);
    if (earlier === undefined) first.set(service, path);
    return earlier === undefined
      ? []
      : [
          {
            path,
            message: `"${service}" is stopped twice: it is already in ${formatPath(earlier.slice(2))}`,
            hint: 'what was stopped stays stopped until everything is brought back',
          },
        ];
  });
}

function membersStopped(stops: readonly Stop[], members: ReadonlyMap<string, string>): readonly Finding[] {
  return stops.flatMap(({ service, path }) => {
    const database = members.get(service);
    return database === undefined
      ? []
      : [
          {
            path,
            message: `"${service}" is a server of ${database}, which this procedure backs up: the backup itself stops it`,
            hint: 'who is primary is asked of running servers, right before the stop',
          },
        ];
  });
}

/** service → database */
function membersOf(site: Site, databases: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    databases.flatMap((database) => {
      const engine = site.databases[database]?.engine;
      return engine?.kind === 'mongodb'
        ? Object.values(engine.members).map(({ service }) => [service, database] as const)
        : [];
    }),
  );
}
