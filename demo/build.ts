import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Site } from '../model/site.ts';
import { searchAttributes } from '../workflows/messages.ts';
import { checkoutPath } from './checkout.ts';
import { clockOf, type NightClock } from './clock.ts';
import { mongodOf, startCluster, type DemoCluster } from './cluster.ts';
import { fillDatabases } from './documents.ts';
import { startHosts } from './hosts.ts';
import { startDevServer, type DevServer } from './local/temporal.ts';
import { giveLogins } from './logins.ts';
import type { Machine } from './machine.ts';
import type { Output } from './output.ts';
import type { Places } from './places.ts';
import { program } from './programs.ts';
import { servicectl } from './services/supervised.ts';
import { demoSite } from './site.ts';
import { defineVitam, fillTrees, startVitam, stoppedService, type Vitam } from './vitam.ts';

/** Everything of the example, running. */
export interface Built {
  readonly cluster: DemoCluster;
  readonly vitam: Vitam;
  readonly temporal: DevServer;
  readonly clock: NightClock;
  /** How `coldbackup` is run: the start of its argument vector. */
  readonly coldbackup: readonly string[];
}

/** Builds the miniature of a site file: the cluster first, since it takes longest. */
export async function build(
  machine: Machine,
  out: Output,
  { site, file, pace }: { site: Site; file: string; pace: number },
): Promise<Built> {
  const { places, cleanup } = machine;
  const beganAt = Date.now();
  const [cluster, temporal] = await out.during(
    'MongoDB 7: 2 shards of 3, 3 config servers, 1 mongos; the offer’s own MongoDB; Temporal; the trees of files',
    () => Promise.all([startCluster(places, site), startTemporal(machine), fillTrees(places, site)]),
  );
  out.line(`Temporal on ${temporal.address}, its UI: ${temporal.uiUrl ?? ''}`);

  await out.during(
    'documents in sharded collections, chunks on both shards; the user of docs/mongodb.md',
    () => Promise.all([fillDatabases(cluster, places), giveLogins(places, site, cluster)]),
  );

  const vitam = await defineVitam(places, site, cluster);
  const clock = clockOf(site.timezone, Math.round(pace * secondsForSteps(Date.now() - beganAt)));
  const text = demoSite(readFileSync(file, 'utf8'), {
    onHost: places.onHost,
    unit: places.unit,
    servicectl,
    countWorkflows: checkoutPath('demo/services/count-workflows'),
    mongodOf: (name) => program(mongodOf(name)),
    portOf: vitam.portOf,
    memberOf: (name) => cluster.memberOf.get(name)?.name ?? name,
    clock,
  });
  mkdirSync(scratchOf(places, site), { recursive: true });
  const coldbackup = [process.execPath, join(import.meta.dirname, '..', 'cli', 'main.js')];
  const { address } = temporal;
  const hosts = { hosts: site.hosts, storePath: storePath(site), site: text, address, coldbackup };
  await out.during(
    `control, and an agent on each host; 12 Vitam services, ${stoppedService} is stopped`,
    () => Promise.all([startHosts(places, cleanup, hosts), startVitam(site, vitam)]),
  );
  return { cluster, vitam, temporal, clock, coldbackup };
}

async function startTemporal({ places, cleanup }: Machine): Promise<DevServer> {
  const server = await startDevServer({
    command: program('temporal'),
    dbFile: places.temporalDatabase,
    ui: true,
    args: Object.values(searchAttributes).flatMap((name) => ['--search-attribute', `${name}=Keyword`]),
  });
  cleanup.add(() => server.stop());
  return server;
}

/**
 * Long enough for all steps on this machine, as fast as it was a moment ago; then everything is back at a time that was
 * known before, as the example wants it.
 */
function secondsForSteps(soFarMs: number): number {
  return 25 + (1.1 * soFarMs) / 1000;
}

/** Of drills, on the keeper of the store. */
export function scratchOf({ onHost }: Places, { stores, drill }: Site): string {
  return onHost(stores['vault']?.keeper ?? '', drill?.scratch ?? '');
}

function storePath(site: Site): string {
  const store = site.stores['vault'];
  const directory = store?.kind === 'directory' ? store.directory : undefined;
  if (typeof directory !== 'string') throw new Error('the example has no store named vault for all hosts');
  return directory;
}
