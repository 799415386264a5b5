import type { MongodbSetRecord } from '../../model/manifest.ts';
import type { Argv, HostName, Site } from '../../model/site.ts';
import { isRefusedDrill, isSameRelease, refusedDrill, releaseOf, serverVersion } from './isolated.ts';
import { boundedMemory } from './memory.ts';

export interface Opener {
  readonly mongod: Argv;
  readonly version: string;
}

/** Of the site file: of the database, or that of drills. */
export function mongodOf(site: Site, database: string): Argv | undefined {
  return mongodsOf(site, database)[0]?.mongod;
}

/** A mongod of the release that wrote the copy. Refuses where none is to be had, with what there is. */
export async function openerOf(
  site: Site,
  {
    database,
    artifact,
    version,
  }: { readonly database: string } & Pick<MongodbSetRecord, 'artifact' | 'version'>,
  { host, memoryBytes, signal }: { host: HostName; memoryBytes: number; signal: AbortSignal },
): Promise<Opener> {
  const others: string[] = [];
  for (const { mongod, of } of mongodsOf(site, database)) {
    const found = await serverVersion(boundedMemory(mongod, memoryBytes), host, signal).catch(
      (error: unknown) => {
        if (!isRefusedDrill(error)) throw error;
        others.push(`that of ${of}: ${(error as Error).message}`);
        return null;
      },
    );
    if (found !== null && isSameRelease(found, version)) return { mongod, version: found };
    if (found !== null) others.push(`that of ${of} is ${found}`);
  }
  throw refusedDrill(
    `${artifact} was written by mongod ${version}, and there is none of that release on ${host} (${others.join('; ') || 'the site file names none'}): ` +
      `name one of ${releaseOf(version)} as mongod of ${database}, or of drill.`,
  );
}

function mongodsOf(site: Site, database: string): readonly { readonly mongod: Argv; readonly of: string }[] {
  const engine = site.databases[database]?.engine;
  const own = engine?.kind === 'mongodb' ? engine.mongod : undefined;
  const drills = site.drill?.mongod;
  return [
    ...(own === undefined ? [] : [{ mongod: own, of: database }]),
    ...(drills === undefined ? [] : [{ mongod: drills, of: 'drill' }]),
  ];
}
