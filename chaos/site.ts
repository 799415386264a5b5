import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { runCommand } from '../activities/system/command.ts';
import { signalGroup, startTimeOf } from '../activities/system/processes.ts';
import { isAlive } from '../demo/local/processes.ts';
import { servicectl } from '../demo/services/supervised.ts';
import type { Apart } from './apart.ts';
import type { ChaosMongodb, MemberService } from './mongodb.ts';

export const hosts = ['app-1', 'db-1'] as const;
export type Host = (typeof hosts)[number];
export const services = { web: 'app-1', worker: 'app-1', archive: 'db-1', spare: 'app-1' } as const;
export type ServiceName = keyof typeof services | MemberService;
const ownNames = Object.keys(services) as readonly (keyof typeof services)[];
export const graceMs = 2_000;
export const databaseHost: Host = 'db-1';

/**
 * plain: services and a tree that is copied. apart: the same, and each host has a network, disks and a clock of its own.
 * mongodb: a replica set is copied instead of the tree. sharded: a sharded cluster, which an emulator runs: slow.
 */
export type SiteKind = 'plain' | 'apart' | 'mongodb' | 'sharded';

/** Two hosts with real services that take their time to stop and to start, what one copies, a store. */
export interface ChaosSite {
  readonly serviceNames: readonly ServiceName[];
  readonly mongodb: ChaosMongodb | null;
  readonly file: string;
  readonly sites: string;
  readonly state: string;
  readonly data: string;
  readonly store: string;
  /** What `count: busy` sees. */
  setBusy(count: number): void;
  /** The wait has asked for the count; with `zero`: and was told 0. */
  asked(zero?: boolean): boolean;
  forgetAsked(): void;
  isRunning(name: ServiceName): boolean;
  isReady(name: ServiceName): boolean;
  /** It was asked to stop, and takes its time. */
  isStopping(name: ServiceName): boolean;
  isHeld(name: ServiceName): boolean;
  /** Ever. */
  starts(name: ServiceName): number;
  /** It heeds no SIGTERM until it is mended. */
  refuseToStop(name: ServiceName, refuses: boolean): void;
  /** So many starts fail. */
  refuseToStart(name: ServiceName, times: number): void;
  refusesLeft(name: ServiceName): number;
  /** Power off: nothing on the host gets to say goodbye, and `/run` with what it holds down is gone. */
  powerOff(host: Host): void;
  /** Power on: starts what is enabled. */
  powerOn(host: Host): Promise<void>;
  /** As somebody who lifts the hold and starts it by hand. */
  startByForce(name: ServiceName): Promise<void>;
}

const treeBytes = 48 * 1024 * 1024;
const treeFiles = 48;

interface SiteOptions {
  /** A file that is locked for as long as the services may live. */
  readonly alive: string;
  readonly apart: Apart | null;
  readonly mongodb: ChaosMongodb | null;
}

export async function createChaosSite(
  folder: string,
  { alive, apart, mongodb }: SiteOptions,
): Promise<ChaosSite> {
  const at = (...parts: string[]) => join(folder, ...parts);
  const place = (name: string, ...parts: string[]) => placeOf(folder, name, ...parts);
  for (const part of ['sites', 'state/chaos', 'data/tree'])
    mkdirSync(at(part), { recursive: true, mode: 0o755 });
  for (const host of apart === null ? [] : hosts)
    symlinkSync(apart?.folderOf(host) ?? '', at('state', 'chaos', host));
  const store = apart?.folderOf('store') ?? at('store');
  mkdirSync(store, { recursive: true });
  for (let file = 0; mongodb === null && file < treeFiles; file++)
    writeFileSync(at('data/tree', String(file)), randomBytes(treeBytes / treeFiles));
  writeFileSync(at('busy'), '0\n');
  writeScript(at('count'), countScript(folder));
  const serviceNames = [...ownNames, ...(mongodb?.services ?? [])];
  const hostOf = (name: ServiceName): Host => (isOwn(name) ? services[name] : databaseHost);
  /** Those that are started at boot. */
  const servicesOf = (host: Host) => serviceNames.filter((name) => hostOf(name) === host && name !== 'spare');
  const start = (name: ServiceName) =>
    runCommand([...(apart?.on(hostOf(name)) ?? []), place(name, 'start')], { leavesDaemon: true });
  for (const name of serviceNames) {
    writeScript(place(name, 'start'), startScript(place(name)), { folder: place(name) });
    if (!isOwn(name)) continue;
    symlinkSync(alive, place(name, 'alive'));
    writeScript(place(name, 'program'), program(place(name), at('data', name)));
    writeFileSync(place(name, 'run'), `exec ${place(name, 'program')}\n`);
    if (name !== 'spare') await start(name);
  }
  const file = at('sites', 'chaos.yaml');
  writeFileSync(file, siteFile({ folder, store, mongodb, serviceNames, hostOf }), { mode: 0o644 });
  return {
    ...{ file, sites: at('sites'), state: at('state'), data: at('data'), store, serviceNames, mongodb },
    setBusy: (count) => replace(at('busy'), `${count}\n`),
    asked: (zero = false) => existsSync(at(zero ? 'zero' : 'asked')),
    forgetAsked: () => ['asked', 'zero'].forEach((name) => rmSync(at(name), { force: true })),
    isRunning: (name) => isSupervised(place(name, 'supervisor')),
    // Of a member the replica set tells.
    isReady: (name) => !isOwn(name) || existsSync(place(name, 'ready')),
    isStopping: (name) => existsSync(place(name, 'stopping')),
    isHeld: (name) => existsSync(place(name, 'held')),
    starts: (name) => numberIn(place(name, 'instance')),
    refuseToStop: (name, refuses) =>
      refuses ? writeFileSync(place(name, 'stubborn'), '') : rmSync(place(name, 'stubborn'), { force: true }),
    refuseToStart: (name, times) => replace(place(name, 'refuse'), `${times}\n`),
    refusesLeft: (name) => numberIn(place(name, 'refuse')),
    powerOff: (host) => {
      for (const name of servicesOf(host)) {
        const [pid = '', since = ''] = readFileSync(place(name, 'supervisor'), 'utf8').trim().split(' ');
        signalGroup(Number(pid), since, 'SIGKILL');
        for (const gone of ['held', 'stopping', 'ready']) rmSync(place(name, gone), { force: true });
      }
    },
    powerOn: async (host) => {
      for (const name of servicesOf(host)) await start(name);
    },
    startByForce: async (name) => {
      rmSync(place(name, 'held'), { force: true });
      await start(name);
    },
  };
}

export function placeOf(folder: string, service: string, ...parts: string[]): string {
  return join(folder, 'services', service, ...parts);
}

function isOwn(name: ServiceName): name is keyof typeof services {
  return Object.hasOwn(services, name);
}

function numberIn(file: string): number {
  return existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0;
}

function isSupervised(file: string): boolean {
  try {
    const [pid = '', since] = readFileSync(file, 'utf8').trim().split(' ');
    return isAlive(Number(pid)) && startTimeOf(Number(pid)) === since;
  } catch {
    return false;
  }
}

function replace(file: string, text: string): void {
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
}

function writeScript(file: string, text: string, { folder }: { folder?: string } = {}): void {
  if (folder !== undefined) mkdirSync(folder, { recursive: true });
  writeFileSync(file, `#!/bin/sh\n${text}`);
  chmodSync(file, 0o755);
}

/** A second to start, a second to stop, and it writes to what is copied. */
function program(place: string, written: string): string {
  return `cd ${place}
rm -f ready stopping
stop() {
  [ -e stubborn ] && return
  rm -f ready
  : >stopping
  sleep 1
  rm -f stopping
  exit 0
}
trap stop TERM
sleep 1 & wait $!
: >ready
while :; do echo written >>${written}; sleep 0.2 & wait $!; done
`;
}

function startScript(place: string): string {
  return `refuses=$(cat ${place}/refuse 2>/dev/null || echo 0)
if [ "$refuses" -gt 0 ]; then
  echo $((refuses - 1)) >${place}/refuse
  echo "does not start: $refuses" >&2
  exit 1
fi
rm -f ${place}/ready
exec ${servicectl} start ${place}
`;
}

function countScript(folder: string): string {
  return `busy=$(cat ${folder}/busy)
: >${folder}/asked
[ "$busy" != 0 ] || : >${folder}/zero
echo "$busy"
`;
}

function siteFile({
  folder,
  store,
  mongodb,
  serviceNames,
  hostOf,
}: Pick<ChaosSite, 'store' | 'mongodb' | 'serviceNames'> & {
  readonly folder: string;
  readonly hostOf: (name: ServiceName) => Host;
}): string {
  const place = (name: string, ...parts: string[]) => placeOf(folder, name, ...parts);
  const database = mongodb === null ? 'tree' : mongodb.database;
  const clock = (hours: number) => new Date(Date.now() + hours * 3_600_000).toISOString().slice(11, 16);
  const verbs = ['stop', 'status', 'instance', 'last-exit', 'hold-down', 'let-go'];
  const service = (name: ServiceName) => `  ${name}:
    host: ${hostOf(name)}
    command:
      start: [${place(name, 'start')}]
${verbs.map((verb) => `      ${verb}: [${servicectl}, ${verb}, ${place(name)}]`).join('\n')}
    stop-within: 6s
    ready: { ${isOwn(name) ? `command: [/usr/bin/test, -e, ${place(name, 'ready')}], within: 10s` : 'within: 30s'} }
    normally: ${name === 'spare' ? 'stopped' : 'running'}`;
  const procedure = (name: string) => `  ${name}:
    up-by: "${clock(10)}"
    steps:
      - stop: [web, spare]
      - wait: { count: busy, reaches: 0, until: "${clock(9)}", otherwise: fail }
      - stop: [worker, archive]
      - backup: { databases: [${database}], method: cold, to: [vault] }
    keep: { last: 2 }`;
  return `
site: chaos
timezone: UTC
hosts: [${hosts.join(', ')}]
services:
${serviceNames.map(service).join('\n')}
counts:
  busy: { host: app-1, command: [${join(folder, 'count')}] }
databases:
  ${database}:
    used-by: [web, worker, archive]
${mongodb === null ? `    files: { host: ${databaseHost}, roots: [${join(folder, 'data')}] }` : mongodb.inSiteFile}
stores:
  vault: { directory: ${store}, shared: true, keeper: ${databaseHost} }
limits: { grace: ${graceMs / 1_000}s }
procedures:
${procedure('patient')}
${procedure('short')}
`;
}
