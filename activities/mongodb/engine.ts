import { closest } from 'fastest-levenshtein';
import type { HostName, MongodbEngine, MongodbMember, Site } from '../../model/site.ts';
import { refusal } from './errors.ts';

/** The MongoDB database of that name in the site file, or a failure that names the nearest one. */
export function engineOf(site: Site, database: string): MongodbEngine {
  const engine = site.databases[database]?.engine;
  if (engine?.kind === 'mongodb') return engine;
  const known = Object.keys(site.databases).filter((d) => site.databases[d]?.engine.kind === 'mongodb');
  throw refusal(`${database} is no MongoDB database of the site ${site.site}${nearest(database, known)}.`);
}

export function memberOf(site: Site, database: string, member: string): MongodbMember {
  const { members } = engineOf(site, database);
  const found = members[member];
  if (found) return found;
  throw refusal(
    `${member} is no member of ${database} in the site file${nearest(member, Object.keys(members))}.`,
  );
}

export function membersOn(site: Site, database: string, host: HostName): readonly string[] {
  return Object.entries(engineOf(site, database).members).flatMap(([name, member]) =>
    member.host === host ? [name] : [],
  );
}

/** `; did you mean …?`, or nothing when nothing is known. */
export function nearest(name: string, known: readonly string[]): string {
  return known.length === 0 ? '' : `; the nearest known name is ${closest(name, [...known])}`;
}
