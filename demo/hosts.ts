import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { runCommand } from '../activities/system/command.ts';
import type { Cleanup } from './local/cleanup.ts';
import { endOf, startProcess, type Started } from './local/processes.ts';
import { waitFor } from './local/wait.ts';
import { linkStore, type Places } from './places.ts';

export interface HostOptions {
  readonly hosts: readonly string[];
  /** Of the store, as the example's hosts see it. */
  readonly storePath: string;
  /** The site file's text: every host has a copy of its own. */
  readonly site: string;
  /** Of Temporal. */
  readonly address: string;
  /** How `coldbackup` is run: the start of its argument vector. */
  readonly coldbackup: readonly string[];
}

const siteFile = '/etc/coldbackup/vitam.yaml';
const stateFolder = '/var/lib/coldbackup';

/**
 * An agent for each host, and control: processes of their own. Where this user may mount, each agent has a view of its
 * own: the shared disk is mounted at its own place, and the folders of the other hosts are empty for it. Gives whether
 * that is so.
 */
export async function startHosts(places: Places, cleanup: Cleanup, options: HostOptions): Promise<boolean> {
  const { hosts, storePath, site, address, coldbackup } = options;
  const ownView = await mayMount();
  const env = { TEMPORAL_ADDRESS: address };
  writeFileSync(join(places.sites, 'vitam.yaml'), site);
  const workers: Started[] = [];
  cleanup.add(() => Promise.all(workers.map((worker) => worker.stop())));
  const begin = async (name: string, argv: readonly string[]): Promise<void> => {
    const logFile = join(places.logs, `${name}.log`);
    const worker = await startProcess(argv, { logFile, env });
    workers.push(worker);
    await untilReady(name, worker, logFile);
  };
  await Promise.all([
    begin('control', [...coldbackup, ...['control', places.sites, '--reports', places.reports]]),
    ...hosts.map((host) => {
      const file = places.onHost(host, siteFile);
      mkdirSync(dirname(file), { recursive: true });
      copyFileSync(join(places.sites, 'vitam.yaml'), file);
      if (ownView) mkdirSync(places.onHost(host, storePath), { recursive: true });
      else linkStore(places, host, storePath);
      return begin(`agent-${host}`, [
        ...(ownView ? viewOf(places, host, hosts, storePath) : []),
        ...coldbackup,
        ...['agent', file, '--host', host, '--state', places.onHost(host, stateFolder)],
      ]);
    }),
  ]);
  return ownView;
}

async function untilReady(name: string, process: Started, logFile: string): Promise<void> {
  await waitFor(() => /"msg":"(agent|control) ready"/.test(endOf(logFile, 100)), {
    what: `${name} to be ready`,
    withinMs: 60_000,
    unless: () =>
      process.exit() ? `it ended with ${JSON.stringify(process.exit())}: ${process.output()}` : undefined,
  });
}

async function mayMount(): Promise<boolean> {
  const { exitCode } = await runCommand(
    ['unshare', '--mount', '--propagation', 'private', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt'],
    { acceptExit: Array.from({ length: 256 }, (_, code) => code) },
  ).catch(() => ({ exitCode: 1 }));
  return exitCode === 0;
}

/** The start of an argument vector: what follows sees the machine as this host does. */
function viewOf(
  places: Places,
  host: string,
  hosts: readonly string[],
  storePath: string,
): readonly string[] {
  const others = hosts.filter((other) => other !== host).map((other) => places.onHost(other, '/'));
  const script = [
    'mount --bind "$1" "$2" && shift 2 || exit 1',
    'for other in "$@"; do',
    '  shift; [ "$other" != -- ] || break',
    '  mount -t tmpfs -o size=4k,mode=700 tmpfs "$other" || exit 1',
    'done',
    'exec "$@"',
  ].join('\n');
  return [
    ...['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, 'sh'],
    ...[places.disk, places.onHost(host, storePath), ...others, '--'],
  ];
}
