import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { holdAliveLock } from './local/alive-lock.ts';
import { createCleanup, type Cleanup } from './local/cleanup.ts';
import { createPlaces, type Places } from './places.ts';
import { killUnit } from './services/supervised.ts';

/** All that the demo has on this machine: one folder, and processes that do not outlive it. */
export interface Machine {
  readonly places: Places;
  readonly cleanup: Cleanup;
  /** Ends the services and the servers of databases; what they wrote stays. */
  readonly endUnits: () => Promise<void>;
  /** Ends every process, by its id, and removes the folder. */
  readonly end: () => Promise<void>;
}

/** Makes the folder, and takes the lock that the services watch. All other children die with this process (see startProcess). */
export async function createMachine(hosts: readonly string[]): Promise<Machine> {
  const root = mkdtempSync(join(tmpdir(), 'coldbackup-demo-'));
  // Whatever wants a temporary folder, children too, gets it below: one removal removes it.
  process.env['TMPDIR'] = join(root, 'tmp');
  mkdirSync(process.env['TMPDIR']);
  const places = createPlaces(root, hosts);
  const cleanup = createCleanup();
  cleanup.add(() => rmSync(root, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 }));
  await holdAliveLock(cleanup, places.aliveLock);
  const endUnits = () => killUnits(places, hosts);
  cleanup.add(endUnits);
  return { places, cleanup, endUnits, end: cleanup.run };
}

async function killUnits(places: Places, hosts: readonly string[]): Promise<void> {
  const units = hosts.flatMap((host) => {
    const folder = places.onHost(host, 'services');
    return readdirSync(folder).map((name) => ({ name, folder: join(folder, name) }));
  });
  await Promise.all(units.map(killUnit));
}
