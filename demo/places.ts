import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';

/** Where everything of one demo lies: below one folder, which goes in the end. */
export interface Places {
  readonly root: string;
  /** Held locked for as long as the demo lives. */
  readonly aliveLock: string;
  /** The shared disk behind the store: each host sees it at a place of its own. */
  readonly disk: string;
  /** Site files that control serves. */
  readonly sites: string;
  readonly reports: string;
  readonly logs: string;
  readonly temporalDatabase: string;
  /** What every service had acknowledged, one file each and start, documents in a folder for each database: for the proof. */
  readonly acknowledged: string;
  /** Where an absolute path of a host lies here: each has its own `/vitam`, `/etc` and `/backup`. */
  readonly onHost: (host: string, path: string) => string;
  /** The folder of a service of that host. */
  readonly unit: (host: string, service: string) => string;
}

/** Makes the folders of all hosts below `root`. */
export function createPlaces(root: string, hosts: readonly string[]): Places {
  const places: Places = {
    root,
    aliveLock: join(root, 'alive'),
    disk: join(root, 'disk'),
    sites: join(root, 'control', 'sites'),
    reports: join(root, 'control', 'reports'),
    logs: join(root, 'logs'),
    temporalDatabase: join(root, 'temporal.db'),
    acknowledged: join(root, 'acknowledged'),
    onHost: (host, path) => join(root, 'hosts', host, path),
    unit: (host, service) => join(root, 'hosts', host, 'services', service),
  };
  for (const folder of [places.disk, places.sites, places.reports, places.logs, places.acknowledged])
    mkdirSync(folder, { recursive: true });
  for (const host of hosts) mkdirSync(places.onHost(host, 'services'), { recursive: true });
  return places;
}

/** The mount of the shared disk on a host, where there is no right to mount: a link does the same for a reader. */
export function linkStore(places: Places, host: string, mountPoint: string): void {
  const path = places.onHost(host, mountPoint);
  mkdirSync(join(path, '..'), { recursive: true });
  symlinkSync(places.disk, path);
}
