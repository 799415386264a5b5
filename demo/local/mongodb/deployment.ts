import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createCleanup } from '../cleanup.ts';
import type { Credentials } from './admin.ts';
import { createServers, type Server, type Servers } from './server.ts';

/** What a running replica set and a running sharded cluster have in common. */
export interface Running {
  /** The user with all rights, there on every shard, on the config servers and through mongos; none without `auth`. */
  credentials?: Credentials;
  startMember: Servers['start'];
  stopMember: Servers['stop'];
  exitOf: Servers['exitOf'];
  /** Ends whatever runs, also what others have started again, and removes every file. */
  stop: () => Promise<void>;
}

/** Two folders that exist: for the log and the pid file, and for the data. */
export interface Place {
  folder: string;
  dataDir: string;
}

export interface DeployOptions {
  auth: boolean;
  /** How servers are started and stopped; as children of this process unless told. */
  servers?: Servers;
  /** Where a member's files go; in a new folder unless told. */
  placeOf?: Deployment['placeOf'];
  parameters?: readonly string[];
}

/** What the parts of a deployment share while it is started. */
export interface Deployment {
  folder: string;
  servers: Servers;
  /** Where a member's files go. */
  placeOf(set: string, index: number, port: number): Place;
  /** `--setParameter` of every mongod, beside those that spare the machine. */
  parameters: readonly string[];
  /** A server is announced before it is started, so that a failed start leaves none. */
  announce(servers: readonly Server[]): void;
  key?: Key;
  credentials?: Credentials;
}

/** What the members know each other by. With it one is the user `__system`, to whom everything is permitted. */
export interface Key {
  file: string;
  content: string;
}

/** Builds a deployment in a new folder; when `build` fails nothing of it is left. */
export async function deploy<T>(
  { auth, servers = createServers(), placeOf, parameters = [] }: DeployOptions,
  build: (deployment: Deployment) => Promise<T>,
): Promise<T & Running> {
  const cleanup = createCleanup();
  const folder = await cleanup.folder();
  const announced: Server[] = [];
  cleanup.add(() => servers.killAll(announced));
  const credentials = { user: 'root', password: 'a password: with / and @' };
  try {
    const built = await build({
      folder,
      servers,
      placeOf: placeOf ?? ((set, _, port) => newPlace(join(folder, `${set}-${port}`))),
      parameters,
      announce: (more) => announced.push(...more),
      ...(auth ? { key: await writeKey(folder), credentials } : {}),
    });
    return {
      ...built,
      ...(auth ? { credentials } : {}),
      startMember: servers.start,
      stopMember: servers.stop,
      exitOf: servers.exitOf,
      stop: cleanup.run,
    };
  } catch (error) {
    await cleanup.run();
    throw error;
  }
}

function newPlace(folder: string): Place {
  const dataDir = join(folder, 'data');
  mkdirSync(dataDir, { recursive: true });
  return { folder, dataDir };
}

async function writeKey(folder: string): Promise<Key> {
  const key = { file: join(folder, 'key'), content: randomBytes(96).toString('base64') };
  await writeFile(key.file, key.content, { mode: 0o400 });
  return key;
}
