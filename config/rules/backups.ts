import type { Database, HostName, Site } from '../../model/site.ts';
import type { Finding } from '../problem.ts';
import { walkSteps } from './walk.ts';
import type { Visit } from './walk.ts';

/** Every writer is stopped before; every host with data reaches every store; a database is backed up once. */
export function backupRules(site: Site): readonly Finding[] {
  return Object.entries(site.procedures).flatMap(([name, { steps }]) => {
    const seen = new Set<string>();
    return walkSteps(steps, ['procedures', name, 'steps']).flatMap((visit) => [
      ...writersRunning(site, visit),
      ...backedUpTwice(visit, seen),
      ...storesOutOfReach(site, visit),
    ]);
  });
}

function writersRunning(site: Site, { step, path, stoppedBefore }: Visit): readonly Finding[] {
  if (step.kind !== 'backup') return [];
  return step.databases.flatMap((database, index) => {
    const running = usersOf(site, database).filter((service) => !stoppedBefore.has(service));
    if (running.length === 0) return [];
    const names = running.map((service) => `"${service}"`).join(', ');
    return [
      {
        path: [...path, 'backup', 'databases', index],
        message: `${database} is used by ${names}, not stopped in an earlier step: it would not be at rest`,
        hint: `put ${running.length === 1 ? 'it' : 'them'} into a stop step before this one`,
      },
    ];
  });
}

/** Those that other rules have nothing against. */
function usersOf(site: Site, database: string): readonly string[] {
  const { usedBy, engine } = site.databases[database] ?? { usedBy: [] };
  const servers =
    engine?.kind === 'mongodb' ? Object.values(engine.members).map(({ service }) => service) : [];
  return usedBy.filter((service) => site.services[service] !== undefined && !servers.includes(service));
}

function backedUpTwice({ step, path }: Visit, seen: Set<string>): readonly Finding[] {
  if (step.kind !== 'backup') return [];
  return step.databases.flatMap((database, index) => {
    const again = seen.has(database) && step.databases.indexOf(database) === index;
    seen.add(database);
    return again
      ? [
          {
            path: [...path, 'backup', 'databases', index],
            message: `${database} is backed up twice in this procedure: a set holds it once`,
          },
        ]
      : [];
  });
}

function storesOutOfReach(site: Site, { step, path }: Visit): readonly Finding[] {
  if (step.kind !== 'backup') return [];
  const hosts = new Set(step.databases.flatMap((database) => hostsOf(site.databases[database])));
  return step.to.flatMap((name, index) => {
    const store = site.stores[name];
    if (store?.kind !== 'directory' || typeof store.directory === 'string') return [];
    const { directory } = store;
    const without = [...hosts].filter((host) => directory[host] === undefined).sort();
    return without.length === 0
      ? []
      : [
          {
            path: [...path, 'backup', 'to', index],
            message: `store ${name} has no directory on ${without.join(', ')}, where data to copy lies`,
            hint: `add it under stores.${name}.directory`,
          },
        ];
  });
}

function hostsOf(database: Database | undefined): readonly HostName[] {
  if (database === undefined) return [];
  const { engine } = database;
  return engine.kind === 'files' ? [engine.host] : Object.values(engine.members).map(({ host }) => host);
}
