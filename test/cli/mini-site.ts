import { existsSync, mkdirSync, readFileSync, rmdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { runCommand } from '../../activities/system/command.ts';
import type { Cleanup } from '../support/processes.ts';
import { holdAliveLock } from '../../demo/local/alive-lock.ts';

/** Two hosts with real services under the demo's small service manager, a file tree that one of them writes, a store. */
export interface MiniSite {
  /** In a folder of its own, for control. */
  readonly file: string;
  readonly sites: string;
  readonly state: string;
  /** Of drills. */
  readonly scratch: string;
  readonly store: string;
  readonly hosts: readonly string[];
  /** What `count: busy` sees. */
  setBusy(count: number): void;
  /** `{ web: 'running', … }` */
  services(): Promise<Readonly<Record<string, 'running' | 'stopped'>>>;
  /** The next start of it fails, and each one after, until it is mended. */
  breakService(name: string): void;
  mendService(name: string): void;
  /** By hand, as an operator would. */
  stopService(name: string): Promise<void>;
  startService(name: string): Promise<void>;
  /** How often each was started, ever. */
  starts(): Readonly<Record<string, number>>;
}

const control = resolve('demo/services/servicectl');
const services = { web: 'app-1', worker: 'app-1', archive: 'db-1', spare: 'app-1' };

/** @param copied on its host first, into `copies` beside the data; else the tree is archived while its writers are stopped. */
export async function createMiniSite(cleanup: Cleanup, { copied = false } = {}): Promise<MiniSite> {
  const folder = await cleanup.folder();
  const alive = join(folder, 'alive');
  await holdAliveLock(cleanup, alive);
  const place = (name: string) => join(folder, 'services', name);
  for (const part of ['sites', 'state', 'store', 'data', 'scratch', 'look', 'copies'])
    mkdirSync(join(folder, part), { mode: 0o755 });
  const busy = join(folder, 'busy');
  writeFileSync(busy, '0\n');
  writeFileSync(join(folder, 'data', 'first'), 'written before\n');

  for (const name of Object.keys(services)) {
    mkdirSync(place(name), { recursive: true });
    writeFileSync(join(place(name), 'run'), program(join(folder, 'data', name)));
    symlinkSync(alive, join(place(name), 'alive'));
    if (name !== 'spare') await runCommand([control, 'start', place(name)], { leavesDaemon: true });
  }
  const file = join(folder, 'sites', 'mini.yaml');
  writeFileSync(file, siteFile(folder, busy, place, copied), { mode: 0o644 });
  return {
    file,
    sites: join(folder, 'sites'),
    state: join(folder, 'state'),
    scratch: join(folder, 'scratch'),
    store: join(folder, 'store'),
    hosts: ['app-1', 'db-1'],
    setBusy: (count) => writeFileSync(busy, `${count}\n`),
    services: async () => {
      const states = await Promise.all(
        Object.keys(services).map(async (name) => {
          const { exitCode } = await runCommand([control, 'status', place(name)], { acceptExit: [0, 1, 3] });
          return [name, exitCode === 0 ? 'running' : 'stopped'] as const;
        }),
      );
      return Object.fromEntries(states);
    },
    // Where its service manager writes how often it was started.
    breakService: (name) => mkdirSync(join(place(name), 'instance.new')),
    mendService: (name) => rmdirSync(join(place(name), 'instance.new')),
    stopService: async (name) => {
      await runCommand([control, 'stop', place(name)]);
    },
    startService: async (name) => {
      await runCommand([control, 'start', place(name)], { leavesDaemon: true });
    },
    starts: () =>
      Object.fromEntries(
        Object.keys(services).map((name) => {
          const count = join(place(name), 'instance');
          return [name, existsSync(count) ? Number(readFileSync(count, 'utf8')) : 0];
        }),
      ),
  };
}

function program(file: string): string {
  return `exec sh -c 'trap "exit 0" TERM; while :; do echo written >> ${file}; sleep 0.2 & wait $!; done'\n`;
}

function siteFile(folder: string, busy: string, place: (name: string) => string, copied: boolean): string {
  const clock = (hours: number) => new Date(Date.now() + hours * 3_600_000).toISOString().slice(11, 16);
  const soon = new Date(Date.now() + 45_000).toISOString().slice(11, 19);
  return `
site: mini
timezone: UTC
hosts: [app-1, db-1]
services:
${Object.entries(services)
  .map(
    ([name, host]) => `  ${name}:
    host: ${host}
    command:
${['start', 'stop', 'status', 'instance', 'last-exit', 'hold-down', 'let-go'].map((verb) => `      ${verb}: [${control}, ${verb}, ${place(name)}]`).join('\n')}
    stop-within: 20s
    ready: { within: 10s }
    normally: ${name === 'spare' ? 'stopped' : 'running'}`,
  )
  .join('\n')}
counts:
  busy: { host: app-1, command: [/bin/cat, ${busy}] }
databases:
  tree:
    used-by: [web, worker, archive]
    files: { host: db-1, roots: [${join(folder, 'data')}]${copied ? `, copy-by: copy, copies: ${join(folder, 'copies')}` : ''} }
stores:
  vault: { directory: ${join(folder, 'store')}, shared: true, keeper: db-1 }
drill: { scratch: ${join(folder, 'scratch')} }
restore-to: ${join(folder, 'look')}
procedures:
  nightly:
    up-by: "${clock(10)}"
    steps:
      - stop: [web, spare]
      - wait: { count: busy, reaches: 0, until: "${clock(9)}", otherwise: fail }
      - stop: [worker, archive]
      - backup: { databases: [tree], method: cold, to: [vault] }
    keep: { last: 3 }
    prove-every: 90d
    drill: { days: sun, at: "10:00" }
    verify: { days: mon-sun, at: "09:00", every: 30d }
  # Asks its operators, soon after the site was made.
  asking:
    up-by: "${clock(10)}"
    on-failure: ask
    steps:
      - stop: [web]
      - wait:
          count: busy
          reaches: 0
          until: "${soon}"
          otherwise: { ask: "Go on while it is busy?", by: "${clock(9)}", else: fail }
      - stop: [worker, archive]
      - backup: { databases: [tree], method: cold, to: [vault] }
  patient:
    up-by: "${clock(10)}"
    when-held: wait
    steps:
      - stop: [web]
  # These two hold one host each: they can run at once.
  left:
    up-by: "${clock(10)}"
    steps:
      - stop: [web]
      - wait: { count: busy, reaches: 0, until: "${clock(9)}", otherwise: fail }
  right:
    up-by: "${clock(10)}"
    steps:
      - stop: [archive]
      - wait: { count: busy, reaches: 0, until: "${clock(9)}", otherwise: fail }
`;
}
