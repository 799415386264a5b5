import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Site } from '../model/site.ts';
import { programPath } from './checkout.ts';
import type { DemoCluster } from './cluster.ts';
import { mongodbOf } from './cluster.ts';
import { offerContent, vitamContent, type Content } from './documents.ts';
import { freePort } from './local/ports.ts';
import { waitFor } from './local/wait.ts';
import type { Places } from './places.ts';
import { addObject } from './services/offer.ts';
import type { DocumentSettings, ServiceSettings } from './services/settings.ts';
import { defineUnit, isRunning, logOf, startUnit, type Unit } from './services/supervised.ts';
import { jobName, workflowFolder } from './site.ts';

/** The Vitam services of the miniature, and its job. */
export interface Vitam {
  readonly units: ReadonlyMap<string, Unit>;
  readonly job: Unit;
  readonly portOf: (service: string) => number;
}

/** Not running when the night begins: it must be found so, and left so. */
export const stoppedService = 'access-external';

/** What is in the trees of files before the night. */
const archives: Readonly<Record<string, { readonly files: number; readonly sizeBytes: number }>> = {
  'offer-files': { files: 120, sizeBytes: 256 * 1024 },
  'elasticsearch-data': { files: 20, sizeBytes: 256 * 1024 },
  configuration: { files: 12, sizeBytes: 4 * 1024 },
};

/** Defines every service of the example that is not a server of the cluster; starts nothing. */
export async function defineVitam(places: Places, site: Site, cluster: DemoCluster): Promise<Vitam> {
  const servers = new Set(
    [mongodbOf(site), mongodbOf(site, 'offer-mongo')].flatMap(({ members, routers = [] }) => [
      ...Object.values(members).map(({ service }) => service),
      ...routers,
    ]),
  );
  const services = Object.entries(site.services).filter(([name]) => !servers.has(name));
  const ports = new Map<string, number>();
  for (const [name] of services) ports.set(name, await freePort());
  const portOf = (name: string) => ports.get(name) ?? 0;
  const units = services.map(([name, { hosts }], index): [string, Unit] => {
    const [host] = hosts;
    const folder = places.unit(host, name);
    const settings: ServiceSettings = {
      name,
      port: portOf(name),
      unitFolder: folder,
      acknowledged: places.acknowledged,
      ...(isUser(site, name, 'vitam-mongo') && { documents: placeIn(vitamContent, cluster.uri, index) }),
      ...(isUser(site, name, 'offer-mongo') && {
        documents: placeIn(offerContent, cluster.offer.uri, index),
      }),
      ...treeOf(places, site, name),
      ...(name === 'processing' && {
        workflows: {
          folder: places.onHost(host, workflowFolder),
          ingest: `http://127.0.0.1:${portOf('ingest-internal')}/admin/v1/status`,
        },
      }),
    };
    return [name, define(places, folder, 'services/vitam-service', settings)];
  });
  const jobHost = site.jobs[jobName]?.host ?? '';
  const job = defineUnit(
    places.unit(jobHost, jobName),
    [process.execPath, programPath('services/logbook-securing'), `http://127.0.0.1:${portOf('logbook')}`],
    places.aliveLock,
  );
  return { units: new Map(units), job, portOf };
}

/** The trees of files as they are before a service runs: names that a backup must cope with among them. */
export async function fillTrees(places: Places, site: Site): Promise<void> {
  for (const { database, folder } of trees(places, site)) {
    const list = archiveList(places, database);
    const { files = 0, sizeBytes = 0 } = archives[database] ?? {};
    for (let n = 0; n < files; n += 1) {
      const name = ['binaries', 'rapports d’ingest', '-dash'][n % 3] ?? '';
      await addObject(folder, join(name, `${n % 10}`, `object ${n}.bin`), sizeBytes, list);
    }
    // Half received when the service stops: the example leaves the offer's tmp/ out of the copy.
    if (database === 'offer-files') writeFileSync(join(folder, 'tmp', 'half-received'), 'x'.repeat(1000));
  }
}

/** The digests of what was in a tree before a service wrote there. */
export function archiveList(places: Places, database: string): string {
  return join(places.acknowledged, `archive-${database}.sha256`);
}

/** Starts every service but the one that is stopped, and waits until each answers. */
export async function startVitam(site: Site, { units, portOf }: Vitam): Promise<void> {
  await Promise.all(
    [...units].map(async ([name, unit]) => {
      if (name === stoppedService) return;
      await startUnit(unit);
      await waitFor(() => answers(portOf(name)), {
        what: `${name} to answer`,
        withinMs: site.services[name]?.readyWithinMs ?? 60_000,
        unless: () => (isRunning(unit) ? undefined : logOf(unit)),
      });
    }),
  );
}

/** Every service of the site, the servers of the cluster too. */
export function unitsOf(places: Places, site: Site, { units }: Vitam): ReadonlyMap<string, Unit> {
  return new Map(
    Object.entries(site.services).map(([name, { hosts }]) => [
      name,
      units.get(name) ?? { name, folder: places.unit(hosts[0], name) },
    ]),
  );
}

export interface Tree {
  readonly database: string;
  readonly folder: string;
  /** The services that write there. */
  readonly usedBy: readonly string[];
}

export function trees(places: Places, site: Site): readonly Tree[] {
  return Object.entries(site.databases).flatMap(([database, { engine, usedBy }]) =>
    engine.kind === 'files'
      ? [{ database, usedBy, folder: places.onHost(engine.host, engine.roots[0]) }]
      : [],
  );
}

function treeOf(places: Places, site: Site, service: string): Pick<ServiceSettings, 'tree'> {
  const tree = trees(places, site).find(({ usedBy }) => usedBy.includes(service));
  return tree === undefined ? {} : { tree: tree.folder };
}

function define(places: Places, folder: string, program: string, settings: object): Unit {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'settings.json');
  writeFileSync(file, JSON.stringify(settings), { mode: 0o600 });
  return defineUnit(folder, [process.execPath, programPath(program), file], places.aliveLock);
}

function isUser(site: Site, service: string, name: string): boolean {
  return site.databases[name]?.usedBy.includes(service) ?? false;
}

function placeIn({ database, collections }: Content, uri: string, index: number): DocumentSettings {
  return { uri, database, collection: collections[index % collections.length] ?? '' };
}

async function answers(port: number): Promise<boolean> {
  const response = await fetch(`http://127.0.0.1:${port}/admin/v1/status`);
  await response.body?.cancel();
  return response.ok;
}
