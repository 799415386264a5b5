import { readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Site } from '../model/site.ts';
import type { DemoCluster } from './cluster.ts';
import type { Machine } from './machine.ts';
import { instanceOf, startUnit } from './services/supervised.ts';
import { stoppedService, trees, unitsOf, type Vitam } from './vitam.ts';

export interface Lost {
  /** How often each service had been started by then. */
  readonly instances: ReadonlyMap<string, number>;
}

/**
 * Kills every service and every server, and removes all data: of each member, and of each tree of files. Then all are
 * started as on new machines: they run, on empty folders. What was stopped before stays so.
 */
export async function loseEverything(
  { places, endUnits }: Machine,
  site: Site,
  cluster: DemoCluster,
  vitam: Vitam,
): Promise<Lost> {
  await endUnits();
  const members = [...cluster.members, ...cluster.offer.members];
  const folders = [
    ...members.map(({ dataDir }) => dataDir),
    ...trees(places, site).map(({ folder }) => folder),
  ];
  for (const folder of folders)
    for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true });
  await Promise.all(members.map((member) => cluster.startMember(member)));
  // It accepts no connection: it looks for its config servers, which know of no set.
  await startUnit({ name: 'mongos', folder: dirname(cluster.mongos.pidFile) });
  const units = unitsOf(places, site, vitam);
  await Promise.all(
    [...vitam.units].filter(([name]) => name !== stoppedService).map(([, unit]) => startUnit(unit)),
  );
  return { instances: new Map([...units].map(([name, unit]) => [name, instanceOf(unit)])) };
}
