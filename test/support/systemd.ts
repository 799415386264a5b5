import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ManagerOptions } from '../../activities/services/systemctl.ts';
import { runCommand } from '../../activities/system/command.ts';

/** A real `systemd --user` of its own: its own units, runtime folder, /run and control group. Needs root. */
export interface UserManager {
  /** For `createDriver(service, options)`. */
  readonly options: Required<ManagerOptions>;
  readonly folder: string;
  readonly unitDir: string;
  /** Takes effect at {@link UserManager.reload}. */
  writeUnit(name: string, text: string): void;
  reload(): Promise<void>;
  /** `systemctl --user …` by hand; gives the exit code and what was said. */
  systemctl(...args: string[]): Promise<{ exitCode: number; said: string }>;
  /** Ends the manager and whatever its units left. */
  stop(): Promise<void>;
}

export async function startUserManager(): Promise<UserManager> {
  const folder = mkdtempSync(join(tmpdir(), 'coldbackup-systemd-'));
  const unitDir = join(folder, 'units');
  const runtime = join(folder, 'run');
  mkdirSync(unitDir);
  mkdirSync(runtime, { mode: 0o700 });
  const writeUnit = (name: string, text: string): void => {
    writeFileSync(join(unitDir, name), text);
  };
  for (const target of targets) writeUnit(`${target}.target`, '[Unit]\nDefaultDependencies=no\n');

  const group = `coldbackup-test-${process.pid}-${Date.now()}`;
  const child = spawn(
    'unshare',
    ['--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', folder, group],
    {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let log = '';
  child.stdout.on('data', (chunk) => (log += String(chunk)));
  child.stderr.on('data', (chunk) => (log += String(chunk)));
  const end = async (): Promise<void> => {
    await endManager(child, group);
    rmSync(folder, { recursive: true, force: true });
  };

  const prefix = ['nsenter', '--target', String(child.pid), '--mount', 'systemctl'];
  const systemctl = async (...args: string[]): Promise<{ exitCode: number; said: string }> => {
    const { exitCode, stdout, stderr } = await runCommand([...prefix, '--user', ...args], {
      env: { XDG_RUNTIME_DIR: runtime, LC_ALL: 'C', SYSTEMD_COLORS: '0' },
      acceptExit: Array.from({ length: 256 }, (_, code) => code),
    });
    return { exitCode, said: stdout + stderr };
  };
  try {
    const until = Date.now() + 10_000;
    for (;;) {
      if (existsSync(join(runtime, 'systemd/private'))) {
        if ((await systemctl('is-active', 'rig.target')).exitCode === 0) break;
      }
      if (child.exitCode !== null || Date.now() > until)
        throw new Error(`systemd --user did not start: ${log}`);
      await sleep(20);
    }
  } catch (error) {
    await end();
    throw error;
  }
  return {
    systemctl,
    folder,
    unitDir,
    writeUnit,
    options: { systemctl: prefix, xdgRuntimeDir: runtime },
    async reload() {
      await systemctl('daemon-reload');
    },
    stop: end,
  };
}

const targets = ['rig', 'basic', 'default', 'shutdown', 'exit', 'sockets', 'timers', 'paths'];

/**
 * systemd takes the control group it is started in as its own and moves every other process there into init.scope:
 * in a group of its own it finds none. `systemctl` works only where /run/systemd/system is (sd_booted(3)).
 */
const script = `
for mount in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd /sys/fs/cgroup/memory /sys/fs/cgroup/pids /sys/fs/cgroup/cpu; do
  [ -f $mount/cgroup.procs ] || continue
  mkdir $mount/$2 && echo $$ > $mount/$2/cgroup.procs
done
for line in $(grep -E '^(0:|[0-9]+:name=systemd:)' /proc/self/cgroup); do
  case "$line" in */$2) ;; *) echo "no control group of its own: $line"; exit 1 ;; esac
done
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system || exit 1
export XDG_RUNTIME_DIR=$1/run SYSTEMD_UNIT_PATH=$1/units:$1/run/systemd/transient:$1/run/systemd/user HOME=$1
for systemd in /lib/systemd/systemd /usr/lib/systemd/systemd; do
  [ -x $systemd ] && exec $systemd --user --unit=rig.target --log-target=console --log-level=warning
done
echo 'no systemd on this machine'; exit 1
`;

async function endManager(child: ChildProcess, group: string): Promise<void> {
  const folders = groupFolders(group);
  child.kill('SIGTERM');
  const until = Date.now() + 2_000;
  while (child.exitCode === null && child.signalCode === null && Date.now() < until) await sleep(20);
  for (let round = 0; round < 100; round++) {
    const pids = folders.flatMap(processesUnder);
    if (pids.length === 0) break;
    for (const pid of pids) kill(pid);
    await sleep(20);
  }
  for (const folder of folders) removeGroups(folder);
}

function groupFolders(group: string): string[] {
  const mounts = ['', 'unified', 'systemd', 'memory', 'pids', 'cpu'];
  return mounts.map((mount) => join('/sys/fs/cgroup', mount, group)).filter((folder) => existsSync(folder));
}

function processesUnder(folder: string): number[] {
  try {
    const here = readFileSync(join(folder, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
    return [...here, ...subfolders(folder).flatMap(processesUnder)];
  } catch {
    return [];
  }
}

function subfolders(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(folder, entry.name));
}

function removeGroups(folder: string): void {
  try {
    for (const below of subfolders(folder)) removeGroups(below);
    rmdirSync(folder);
  } catch {
    // Another mount of the same hierarchy was removed already.
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}
