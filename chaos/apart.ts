import { randomInt } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { onPath } from '#components';
import { runCommand } from '../activities/system/command.ts';
import { checkoutPath } from '../demo/checkout.ts';
import type { Cleanup } from '../demo/local/cleanup.ts';
import { cannotMount, mountFileSystem } from '../demo/local/file-system.ts';
import { waitFor } from '../demo/local/wait.ts';
import { hosts, type Host } from './site.ts';

type Disk = Host | 'store';

/** What makes hosts of processes: a network of its own for each, a disk of its own for its journal, a clock; and one for the store. */
export interface Apart {
  /** The start of the argument vector of whatever runs on a host. */
  on(host: Host): readonly string[];
  /** Of an agent: its clock. */
  env(host: Host): Readonly<Record<string, string>>;
  /** Where a host finds this machine. */
  gateway(host: Host): string;
  folderOf(disk: Disk): string;
  /** The cable is pulled out. */
  cutOff(host: Host): Promise<void>;
  reconnect(host: Host): Promise<void>;
  /** To the last byte. */
  fill(disk: Disk): Promise<void>;
  makeRoom(disk: Disk): void;
  /** Of the agent alone; returns when it goes by it. */
  setClock(host: Host, aheadMs: number): Promise<void>;
}

/** Why this machine can have none; null: it can. */
export function cannotBeApart(): string | null {
  const reason = cannotMount();
  if (reason !== null) return reason;
  const missing = ['ip', 'unshare', 'nsenter', 'mkfs.ext4'].filter((name) => onPath(name) === undefined);
  return missing.length === 0 ? null : `${missing.join(', ')} not there`;
}

export async function createApart(cleanup: Cleanup, folder: string): Promise<Apart> {
  const networks = { 'app-1': await createNetwork(cleanup), 'db-1': await createNetwork(cleanup) };
  const disks = {
    'app-1': await mountFileSystem(cleanup, 'ext4', { sizeMb: 16 }),
    'db-1': await mountFileSystem(cleanup, 'ext4', { sizeMb: 16 }),
    store: await mountFileSystem(cleanup, 'ext4', { sizeMb: 512 }),
  };
  const clock = (host: Host, name = '') => join(folder, `clock-${host}${name}`);
  for (const host of hosts) writeFileSync(clock(host), '0');
  const preload = `--import=${pathToFileURL(checkoutPath('dist/chaos/shifted-clock.js')).href}`;
  const folderOf = (disk: Disk) => join(disks[disk], 'used');
  for (const disk of [...hosts, 'store'] as const) mkdirSync(folderOf(disk), { mode: 0o755 });
  return {
    on: (host) => networks[host].on,
    env: (host) => ({
      NODE_OPTIONS: `${process.env['NODE_OPTIONS'] ?? ''} ${preload}`.trim(),
      CHAOS_CLOCK: clock(host),
    }),
    gateway: (host) => networks[host].gateway,
    folderOf,
    cutOff: (host) => networks[host].set('down'),
    reconnect: (host) => networks[host].set('up'),
    fill: (disk) => fill(join(disks[disk], 'rubbish')),
    makeRoom: (disk) => rmSync(join(disks[disk], 'rubbish'), { force: true }),
    setClock: async (host, aheadMs) => {
      writeFileSync(clock(host), String(aheadMs));
      const seen = clock(host, '.seen');
      await waitFor(() => existsSync(seen) && readFileSync(seen, 'utf8') === String(aheadMs), {
        what: `the clock of the agent of ${host}`,
        withinMs: 10_000,
      });
    },
  };
}

interface Network {
  readonly on: readonly string[];
  readonly gateway: string;
  set(state: 'up' | 'down'): Promise<void>;
}

/** A network namespace with one cable to this machine; both are gone with the process that holds it. */
async function createNetwork(cleanup: Cleanup): Promise<Network> {
  const holder = await cleanup.start(['unshare', '--net', 'sleep', 'infinity']);
  const here = readlinkSync('/proc/self/ns/net');
  await waitFor(() => readlinkSync(`/proc/${holder.pid}/ns/net`) !== here, {
    what: 'a network namespace',
    withinMs: 10_000,
  });
  const on = ['nsenter', '--target', String(holder.pid), '--net', '--'];
  // 198.18.0.0/15 is for tests of networks (RFC 2544): nothing else is there.
  const net = `198.${18 + randomInt(2)}.${randomInt(256)}`;
  const last = 4 * randomInt(64);
  const [gateway, own] = [`${net}.${last + 1}`, `${net}.${last + 2}`];
  const cable = `cb${holder.pid}`;
  await runCommand([
    'ip',
    'link',
    'add',
    cable,
    'type',
    'veth',
    'peer',
    'name',
    'host',
    'netns',
    String(holder.pid),
  ]);
  await runCommand(['ip', 'addr', 'add', `${gateway}/30`, 'dev', cable]);
  await runCommand(['ip', 'link', 'set', cable, 'up']);
  await runCommand([...on, 'ip', 'addr', 'add', `${own}/30`, 'dev', 'host']);
  for (const device of ['lo', 'host']) await runCommand([...on, 'ip', 'link', 'set', device, 'up']);
  return {
    on,
    gateway,
    set: async (state) => {
      await runCommand(['ip', 'link', 'set', cable, state]);
    },
  };
}

/** Large pieces first, then what still fits, down to single bytes. */
async function fill(file: string): Promise<void> {
  const fd = openSync(file, 'a', 0o600);
  try {
    for (let megabytes = 512; megabytes >= 1; megabytes /= 2)
      for (let exitCode = 0; exitCode === 0;) {
        const offset = String(fstatSync(fd).size);
        const argv = ['fallocate', '--offset', offset, '--length', `${megabytes}M`, file];
        ({ exitCode } = await runCommand(argv, { acceptExit: [0, 1] }));
      }
    for (let bytes = 64 * 1024; bytes >= 1; bytes = Math.floor(bytes / 4))
      try {
        for (;;) writeSync(fd, Buffer.alloc(bytes, 1));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      }
  } finally {
    closeSync(fd);
  }
}
