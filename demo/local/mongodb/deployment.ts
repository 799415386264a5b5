import { randomBytes } from 'node:crypto';
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

/** What the parts of a deployment share while it is started. */
export interface Deployment {
  folder: string;
  servers: Servers;
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
  { auth }: { auth: boolean },
  build: (deployment: Deployment) => Promise<T>,
): Promise<T & Running> {
  const cleanup = createCleanup();
  const folder = await cleanup.folder();
  const servers = createServers();
  const announced: Server[] = [];
  cleanup.add(() => servers.killAll(announced));
  const credentials = { user: 'root', password: 'a password: with / and @' };
  try {
    const built = await build({
      folder,
      servers,
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

async function writeKey(folder: string): Promise<Key> {
  const key = { file: join(folder, 'key'), content: randomBytes(96).toString('base64') };
  await writeFile(key.file, key.content, { mode: 0o400 });
  return key;
}
