import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SftpStore } from '../../../model/site.ts';
import { runCommand } from '../../../activities/system/command.ts';
import { locate } from '#components';
import { freePort } from '../../support/ports.ts';
import { sendSignal, waitFor, type Cleanup, type Started } from '../../support/processes.ts';
import { commandOf } from '../../support/programs.ts';

/** Why there is no server here; null: there is one. */
export const noSshd =
  process.getuid?.() !== 0
    ? 'the server needs root for a user database of its own'
    : locate('sshd') === undefined
      ? 'sshd is not there: node scripts/setup.mjs sshd'
      : null;

export interface Sshd {
  readonly folder: string;
  readonly spec: SftpStore;
  readonly port: number;
  /** A private key that the server does not know. */
  readonly otherKey: string;
  log(): string;
  /** Ends the server, and what it has forked for clients. */
  stop(): Promise<void>;
  start(): Promise<void>;
  /** Ends all connections, and not the server. */
  endSessions(): Promise<void>;
  /** What the server says of the start of its machine: another text, another start. */
  readonly bootFile: string;
}

/** A real OpenSSH server in a mount namespace of its own: with its own users, and a /run that is its own. */
export async function startSshd(
  cleanup: Cleanup,
  options: { readonly port?: number; readonly storeBytes?: number; readonly config?: string } = {},
): Promise<Sshd> {
  const folder = await cleanup.folder();
  const port = options.port ?? (await freePort());
  const directory = join(folder, 'store');
  await mkdir(directory);
  for (const name of ['host', 'user', 'other'])
    await runCommand(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', join(folder, name)]);
  const users = (await readFile('/etc/passwd', 'utf8'))
    .split('\n')
    .filter((line) => line.startsWith('root:'));
  await writeFile(
    join(folder, 'passwd'),
    [...users, 'sshd:x:65534:65534::/run/sshd:/usr/sbin/nologin', ''].join('\n'),
  );
  const bootFile = join(folder, 'boot');
  await writeFile(bootFile, 'the first start\n');
  await writeFile(join(folder, 'shadow'), 'root:*:19000:0:99999:7:::\n', { mode: 0o600 });
  await writeFile(
    join(folder, 'config'),
    [
      `Port ${port}`,
      'ListenAddress 127.0.0.1',
      `HostKey ${join(folder, 'host')}`,
      'PidFile none',
      `AuthorizedKeysFile ${join(folder, 'user.pub')}`,
      'StrictModes no',
      'UsePAM no',
      'PermitRootLogin yes',
      'PasswordAuthentication no',
      'MaxStartups 100',
      'Subsystem sftp internal-sftp',
      options.config ?? '',
      '',
    ].join('\n'),
  );
  const [sshd = ''] = commandOf('sshd');
  const small =
    options.storeBytes === undefined
      ? ''
      : `mount -t tmpfs -o size=${options.storeBytes} tmpfs "$1/store" && `;
  const script =
    'mount --bind "$1/boot" /proc/sys/kernel/random/boot_id && mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/shadow" /etc/shadow && mount -t tmpfs tmpfs /run && ' +
    `${small}mkdir /run/sshd && exec "$2" -D -e -f "$1/config"`;
  const logFile = join(folder, 'log');
  let server: Started | null = null;
  const start = async (): Promise<void> => {
    const began = (await readFile(logFile, 'utf8').catch(() => '')).length;
    const started = await cleanup.start(
      ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', folder, sshd],
      { logFile },
    );
    server = started;
    await waitFor(async () => (await readFile(logFile, 'utf8')).slice(began).includes('Server listening'), {
      what: 'sshd',
      withinMs: 20_000,
      unless: () => (started.exit() === undefined ? undefined : started.output()),
    });
  };
  await start();
  const [type = '', key = ''] = (await readFile(join(folder, 'host.pub'), 'utf8')).split(' ');
  const endSessions = async (): Promise<void> => {
    const sessions = server === null ? [] : await descendants(server.pid);
    for (const pid of sessions) sendSignal(pid, 'SIGKILL');
  };
  return {
    folder,
    port,
    bootFile,
    endSessions,
    spec: {
      ...{ kind: 'sftp', host: '127.0.0.1', port, user: 'root', directory, shared: true, keeper: 'mongo-1' },
      key: { file: join(folder, 'user') },
      hostKey: `${type} ${key.trim()}`,
    },
    otherKey: join(folder, 'other'),
    log: () => server?.output() ?? '',
    start,
    stop: async () => {
      const sessions = server === null ? [] : await descendants(server.pid);
      await server?.stop();
      for (const pid of sessions) sendSignal(pid, 'SIGKILL');
      await rm(logFile, { force: true });
    },
  };
}

/** Each client has a process in a session of its own, which outlives the server. */
async function descendants(pid: number): Promise<readonly number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  const children = text.split(' ').filter(Boolean).map(Number);
  return [...children, ...(await Promise.all(children.map(descendants))).flat()];
}
