/** The programs that coldbackup is tested and shown with. */
export type ProgramName =
  | 'temporal'
  | 'test-server'
  | 'mongod'
  | 'mongos'
  | 'mongo'
  | 'mongod-native'
  | 'minio'
  | 'sshd'
  | 'age'
  | 'restic'
  | 'zstd'
  | 'tar'
  | 'flock';

/** How to run a program: the start of its argument vector (an emulator may come first), and its version if known. */
export interface Located {
  command: string[];
  version?: string;
}

/** Thrown by `locate` when an environment variable names something that cannot be run. */
export class UnusableProgram extends Error {}

/**
 * Finds a program: first by its environment variable (COLDBACKUP_MONGOD=/path/to/mongod), then on PATH if its version
 * is usable, then in the cache folder. Installs nothing. Throws UnusableProgram when the variable names something that cannot be run.
 */
export function locate(name: ProgramName): Located | undefined;

/** Where PATH has an executable of this name. */
export function onPath(name: string): string | undefined;

/** The folder that set-up installs to: COLDBACKUP_CACHE, or coldbackup in XDG_CACHE_HOME or in ~/.cache. */
export function cacheFolder(): string;

/** The full path of an executable on PATH, or undefined. */
export function onPath(name: string): string | undefined;

/** Whether Debian's shared library is there for an architecture: 'aarch64' or 'x86_64'. */
export function hasLibrary(architecture: 'aarch64' | 'x86_64', file: string): boolean;

/** The versions that set-up installs. */
export const versions: Readonly<
  Record<'temporal' | 'testServer' | 'mongodb' | 'mongodbNative' | 'minio' | 'sshd', string>
>;

/** The folders of the cache. */
export const folders: Readonly<
  Record<'temporal' | 'testServer' | 'mongodb' | 'mongodbNative' | 'minio' | 'sshd', string>
>;
