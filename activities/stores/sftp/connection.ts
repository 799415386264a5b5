import { connect as connectSocket } from 'node:net';
import type { ConnectConfig, SFTPWrapper } from 'ssh2';
import type { SftpStore } from '../../../model/site.ts';
import { readSecret, referenceText } from '../../system/secrets.ts';

/** Of what could not be done over SFTP. `status` is the server's word (SFTP version 3, "Responses"). */
export class SftpError extends Error {
  override readonly name = 'SftpError';
  readonly status: number | null;
  /** Another attempt may go well. */
  readonly mayPass: boolean;

  constructor(message: string, options: ErrorOptions & { status?: number; mayPass?: boolean } = {}) {
    super(message, options);
    this.status = options.status ?? null;
    this.mayPass = options.mayPass ?? false;
  }
}

/** SSH_FX_NO_SUCH_FILE and SSH_FX_FAILURE of draft-ietf-secsh-filexfer-02, section 7. */
export const noSuchFile = 2;
export const failure = 4;

/** One that is in use; each use ends with `release`. */
export interface Link {
  /** Fails when the connection is lost, then and later. */
  ask<T>(request: (sftp: SFTPWrapper, answer: (error?: Error | null, value?: T) => void) => void): Promise<T>;
  isLost(): boolean;
  release(): void;
}

const connectWithinMs = 15_000;
/** A server that says nothing for three of these is gone. */
const keepaliveMs = 10_000;
const idleMs = 2_000;

interface Connection {
  readonly sftp: SFTPWrapper;
  readonly lost: () => SftpError | null;
  /** Requests that wait for their answers. */
  readonly waiting: Set<(error: SftpError) => void>;
  readonly end: () => void;
  users: number;
  timer: NodeJS.Timeout | null;
}

export interface Connections {
  hold(): Promise<Link>;
}

const known = new Map<string, Connections>();

/**
 * One connection of this process to each server, for all that is under way: a server refuses many at once (MaxStartups of
 * sshd_config(5)). It ends when nobody has used it for a moment, and is made again when it is lost.
 */
export function connectionsTo(spec: SftpStore): Connections {
  const { host, port, user, key, hostKey } = spec;
  const name = JSON.stringify([host, port, user, key, hostKey]);
  const connections = known.get(name) ?? createConnections(spec);
  known.set(name, connections);
  return connections;
}

function createConnections(spec: SftpStore): Connections {
  let current: Promise<Connection> | null = null;

  return { hold };

  async function hold(): Promise<Link> {
    current ??= connect(spec);
    const mine = current;
    const connection = await mine.catch((error: unknown) => {
      if (current === mine) current = null;
      throw error;
    });
    if (connection.lost() !== null) {
      if (current === mine) current = null;
      return hold();
    }
    connection.users += 1;
    if (connection.timer !== null) clearTimeout(connection.timer);
    connection.timer = null;
    return linkOf(connection, mine);
  }

  function linkOf(connection: Connection, made: Promise<Connection>): Link {
    let held = true;
    return {
      ask: (request) => ask(connection, request),
      isLost: () => connection.lost() !== null,
      release() {
        if (!held) return;
        held = false;
        connection.users -= 1;
        if (connection.users > 0) return;
        connection.timer = setTimeout(() => {
          if (current === made) current = null;
          connection.end();
        }, idleMs);
        connection.timer.unref();
      },
    };
  }
}

function ask<T>(
  { sftp, lost, waiting }: Connection,
  request: (sftp: SFTPWrapper, answer: (error?: Error | null, value?: T) => void) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const before = lost();
    if (before !== null) {
      reject(before);
      return;
    }
    waiting.add(reject);
    const settle = (work: () => void): void => {
      waiting.delete(reject);
      work();
    };
    try {
      request(sftp, (error, value) =>
        settle(() => {
          if (error) reject(lost() ?? asSftpError(error));
          else resolve(value as T);
        }),
      );
    } catch (error) {
      settle(() => reject(asSftpError(error)));
    }
  });
}

async function connect(spec: SftpStore): Promise<Connection> {
  const { host, port, user } = spec;
  const privateKey = await readSecret(spec.key);
  const { Client } = await import('ssh2');
  const socket = connectSocket({ host, port });
  const client = new Client();
  const waiting = new Set<(error: SftpError) => void>();
  let lost: SftpError | null = null;
  let other: string | null = null;
  const config: ConnectConfig = {
    sock: socket,
    username: user,
    privateKey,
    readyTimeout: connectWithinMs,
    keepaliveInterval: keepaliveMs,
    keepaliveCountMax: 3,
    algorithms: { serverHostKey: algorithmsOf(spec.hostKey) },
    hostVerifier: (key: Buffer) => {
      const presented = key.toString('base64');
      if (isSameKey(spec.hostKey, presented)) return true;
      other = presented;
      return false;
    },
  };
  // Nothing that only waits keeps the process from ending.
  socket.setKeepAlive(true, keepaliveMs);
  try {
    await new Promise<void>((resolve, reject) => {
      const fail = (error: Error): void => reject(error);
      socket.once('error', fail);
      socket.once('connect', () => {
        client.once('ready', () => resolve());
        client.once('error', fail);
        client.once('close', () => reject(new Error('the server closed the connection')));
        try {
          client.connect(config);
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      });
      socket.setTimeout(connectWithinMs, () => reject(new Error('the server does not answer')));
    });
    socket.setTimeout(0);
    const sftp = await new Promise<SFTPWrapper>((resolve, reject) => {
      client.sftp((error, wrapper) => (error ? reject(error) : resolve(wrapper)));
    });
    const lose = (why: string): void => {
      lost ??= new SftpError(`the connection to ${host}:${port} was lost: ${why}`, { mayPass: true });
      for (const reject of [...waiting]) reject(lost);
      waiting.clear();
      client.destroy();
    };
    client.on('error', (error: Error) => lose(error.message));
    client.on('close', () => lose('it was closed'));
    sftp.on('error', (error: Error) => lose(error.message));
    sftp.on('close', () => lose('the SFTP session ended'));
    return {
      sftp,
      waiting,
      lost: () => lost,
      end: () => {
        lost ??= new SftpError('the connection was closed', { mayPass: true });
        client.end();
        socket.unref();
      },
      users: 0,
      timer: null,
    };
  } catch (error) {
    client.on('error', () => undefined);
    socket.on('error', () => undefined);
    client.destroy();
    socket.destroy();
    throw connectError(spec, error, other);
  }
}

function connectError(spec: SftpStore, error: unknown, other: string | null): SftpError {
  const { host, port, user, key, hostKey } = spec;
  const server = `${host}:${port}`;
  const message = error instanceof Error ? error.message : String(error);
  if (other !== null)
    return new SftpError(
      `${server} is another server than the site file names: its host key is ${keyType(other)} ${other}, and ` +
        `host-key: is ${hostKey}. Find out why before you change host-key`,
      { cause: error },
    );
  if (/authentication methods failed/i.test(message))
    return new SftpError(
      `${server} refuses user ${user} with the key of ${referenceText(key)}. Its public half must be in ` +
        `authorized_keys of ${user} there`,
      { cause: error },
    );
  if (/privateKey|no passphrase/i.test(message))
    return new SftpError(
      `the key of ${referenceText(key)} cannot be used: ${message}. It must be a private key without a passphrase`,
      { cause: error },
    );
  if (/no matching host key/i.test(message))
    return new SftpError(`${server} has no host key of the kind of host-key: ${hostKey}`, { cause: error });
  return new SftpError(`${server} could not be reached: ${message}`, { cause: error, mayPass: true });
}

function algorithmsOf(hostKey: string): ('ssh-ed25519' | 'rsa-sha2-512' | 'rsa-sha2-256')[] {
  const [type = ''] = hostKey.split(' ');
  const algorithms = type === 'ssh-rsa' ? ['rsa-sha2-512', 'rsa-sha2-256'] : [type];
  return algorithms as ('ssh-ed25519' | 'rsa-sha2-512' | 'rsa-sha2-256')[];
}

function isSameKey(hostKey: string, presented: string): boolean {
  const [, pinned = ''] = hostKey.split(' ');
  const plain = (key: string): string => key.replace(/=+$/, '');
  return plain(pinned) !== '' && plain(pinned) === plain(presented);
}

/** The type is the first string of the key itself (RFC 4253, section 6.6). */
function keyType(key: string): string {
  const bytes = Buffer.from(key, 'base64');
  return bytes.subarray(4, 4 + (bytes.length < 4 ? 0 : bytes.readUInt32BE(0))).toString('latin1');
}

function asSftpError(error: unknown): SftpError {
  if (error instanceof SftpError) return error;
  const { message } = error instanceof Error ? error : new Error(String(error));
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return new SftpError(message, {
    cause: error,
    ...(typeof code === 'number' && { status: code }),
    mayPass: message === 'No response from server',
  });
}
