// Where the programs are that coldbackup is tested and shown with. Node built-ins only: set-up runs this before
// anything is installed. Nothing is ever installed from here.
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';

/** The versions that set-up installs. The names of the cache's folders hold them, so a new version is a new folder. */
export const versions = {
  temporal: '1.5.1',
  testServer: '1.32.0',
  mongodb: '7.0.11',
  mongodbNative: '6.0.27',
  minio: 'v0.0.0-20260212201848-7aac2a2c5b7c',
  sshd: '9.2p1',
};

/** The folders of the cache, one for each component that set-up does not leave to the system's package manager. */
export const folders = {
  temporal: `temporal-${versions.temporal}`,
  testServer: `temporal-test-server-${versions.testServer}`,
  mongodb: `mongodb-${versions.mongodb}`,
  mongodbNative: `mongodb-${versions.mongodbNative}-native`,
  minio: `minio-${versions.minio}`,
  sshd: `openssh-${versions.sshd}`,
};

const emulator = 'qemu-aarch64-static';
const isArm = process.arch === 'arm64';

const programs = {
  temporal: {
    variable: 'COLDBACKUP_TEMPORAL',
    names: ['temporal'],
    // A build by `go install` says "temporal version 0.0.0-DEV (Server 1.29.1, …)": the server's version is the one that counts.
    version: /Server (\d+\.\d+\.\d+)/,
    usable: (major, minor) => major > 1 || (major === 1 && minor >= 29),
    cached: () => cachedFile(folders.temporal, 'temporal', versions.temporal),
  },
  'test-server': {
    variable: 'COLDBACKUP_TEST_SERVER',
    names: ['temporal-test-server'],
    cached: () =>
      onPath('java') && cachedFile(folders.testServer, 'temporal-test-server', versions.testServer),
  },
  mongod: {
    variable: 'COLDBACKUP_MONGOD',
    names: ['mongod'],
    version: /db version v(\d+\.\d+\.\d+)/,
    usable: (major) => major === 7,
    cached: () => cachedMongodb('mongod'),
  },
  mongos: {
    variable: 'COLDBACKUP_MONGOS',
    names: ['mongos'],
    version: /mongos version v(\d+\.\d+\.\d+)/,
    usable: (major) => major === 7,
    cached: () => cachedMongodb('mongos'),
  },
  mongo: {
    variable: 'COLDBACKUP_MONGO',
    names: ['mongosh', 'mongo'],
    version: /(\d+\.\d+\.\d+)/,
    usable: () => true,
    cached: () => cachedMongodb('mongo'),
  },
  'mongod-native': {
    variable: 'COLDBACKUP_MONGOD_NATIVE',
    names: ['mongod'],
    version: /db version v(\d+\.\d+\.\d+)/,
    usable: (major) => major >= 6,
    // Where MongoDB 7 needs no emulator it is the native one.
    cached: () => (isArm ? cachedMongodb('mongod') : cachedNativeMongodb()),
  },
  minio: {
    variable: 'COLDBACKUP_MINIO',
    names: ['minio'],
    cached: () => cachedFile(folders.minio, 'minio', versions.minio),
  },
  sshd: {
    variable: 'COLDBACKUP_SSHD',
    names: ['sshd'],
    cached: () => cachedFile(folders.sshd, 'usr/sbin/sshd', versions.sshd),
  },
  age: { variable: 'COLDBACKUP_AGE', names: ['age'] },
  restic: { variable: 'COLDBACKUP_RESTIC', names: ['restic'] },
  zstd: { variable: 'COLDBACKUP_ZSTD', names: ['zstd'] },
  tar: {
    variable: 'COLDBACKUP_TAR',
    names: ['tar', 'gtar'],
    version: /\(GNU tar\) (\d+\.\d+)/,
    usable: () => true,
  },
  flock: {
    variable: 'COLDBACKUP_FLOCK',
    names: ['flock'],
    version: /util-linux (\d+\.\d+(?:\.\d+)?)/,
    usable: () => true,
  },
};

/** Thrown by `locate` when an environment variable names something that cannot be run. */
export class UnusableProgram extends Error {}

/**
 * Finds a program: first by its environment variable (COLDBACKUP_MONGOD=/path/to/mongod), then on PATH if its version
 * is usable, then in the cache folder. Throws UnusableProgram when the variable names something that cannot be run.
 */
export function locate(name) {
  const program = programs[name];
  if (!program) throw new Error(`no such program: ${name}; there are ${Object.keys(programs).join(', ')}`);
  return fromEnvironment(program) ?? fromPath(program) ?? (program.cached?.() || undefined);
}

/** The folder that set-up installs to: COLDBACKUP_CACHE, or coldbackup in XDG_CACHE_HOME or in ~/.cache. */
export function cacheFolder() {
  const { COLDBACKUP_CACHE: own, XDG_CACHE_HOME: shared } = process.env;
  return own ? resolve(own) : join(shared || join(homedir(), '.cache'), 'coldbackup');
}

/** The full path of an executable on PATH, or undefined. */
export function onPath(name) {
  return (process.env.PATH ?? '')
    .split(delimiter)
    .filter(Boolean)
    .map((folder) => join(folder, name))
    .find(isExecutable);
}

/** Whether Debian's shared library is there for an architecture: 'aarch64' or 'x86_64'. */
export function hasLibrary(architecture, file) {
  return ['/lib', '/usr/lib'].some((folder) => existsSync(join(folder, `${architecture}-linux-gnu`, file)));
}

function fromEnvironment({ variable }) {
  const path = process.env[variable];
  if (!path) return undefined;
  if (!isExecutable(path))
    throw new UnusableProgram(
      `${variable}=${path} is not an executable file.\nwhat to do: correct it, or unset it`,
    );
  return { command: [resolve(path)] };
}

function fromPath({ names, version: pattern, usable }) {
  for (const path of names.map(onPath)) {
    if (!path) continue;
    if (!pattern) return { command: [path] };
    const version = pattern.exec(spawnSync(path, ['--version'], { encoding: 'utf8' }).stdout ?? '')?.[1];
    if (version && usable(...version.split('.').map(Number))) return { command: [path], version };
  }
  return undefined;
}

function cachedFile(folder, file, version) {
  const path = join(cacheFolder(), folder, file);
  return isExecutable(path) ? { command: [path], version } : undefined;
}

/** These binaries are for arm64: elsewhere they run under qemu, which finds the arm64 libraries where Debian puts them. */
function cachedMongodb(file) {
  if (!['libssl.so.1.1', 'libcurl.so.4', 'libstdc++.so.6'].every((library) => hasLibrary('aarch64', library)))
    return undefined;
  const found = cachedFile(folders.mongodb, file, versions.mongodb);
  if (!found || isArm) return found;
  const qemu = onPath(emulator);
  return qemu ? { ...found, command: [qemu, ...found.command] } : undefined;
}

function cachedNativeMongodb() {
  if (!hasLibrary('x86_64', 'libssl.so.1.1')) return undefined;
  return cachedFile(folders.mongodbNative, 'mongod', versions.mongodbNative);
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
