import { createHash, randomBytes } from 'node:crypto';
import { posix } from 'node:path';
import type { CopyWay, HostName, Site } from '../../model/site.ts';
import { memberOf } from '../mongodb/engine.ts';

/** A copy on this host: each root and all below it, at `<path><root>`, so that its names are those of the data. */
export interface CopyPlace {
  readonly by: CopyWay;
  readonly path: string;
  readonly roots: readonly string[];
}

/** What is copied: of MongoDB a member's data; of a tree of files all its roots, and no member. */
export interface Copied {
  readonly database: string;
  readonly member?: string;
}

/** Where it lies, from this host's own site file. */
export interface CopiedData {
  readonly host: HostName;
  readonly roots: readonly [string, ...string[]];
  /** Of trees of files: what the archive leaves out may be different in the copy, or missing. */
  readonly exclude: readonly string[];
  readonly copies?: string;
}

/** What `path` ends with: nothing else is ever removed. */
const ours = /\.coldbackup-(?:[0-9a-f]{12}|try-[0-9a-f]{12}-[0-9a-f]{12})$/;
const tried = '.coldbackup-try-';
/** A host has one agent: a try of another process is of one that is gone. */
const thisProcess = randomBytes(6).toString('hex');

export function copiedData(site: Site, { database, member }: Copied): CopiedData {
  const engine = site.databases[database]?.engine;
  if (engine?.kind === 'files' && member === undefined) return engine;
  const { host, data, copies } = memberOf(site, database, member ?? '');
  return { host, roots: [data], exclude: [], ...(copies !== undefined && { copies }) };
}

/** `<copies or beside the first root>/<its name>.coldbackup-<id>`: of this change alone. */
export function copyPlace(data: CopiedData, by: CopyWay, of: string): CopyPlace {
  const { folder, name } = besides(data);
  const id = createHash('sha256').update(of).digest('hex').slice(0, 12);
  return { by, path: posix.join(folder, `${name}.coldbackup-${id}`), roots: data.roots };
}

/** Of a copy that is only tried, and gone again at once. */
export function tryPlace(data: CopiedData, by: CopyWay): CopyPlace {
  const { folder, name } = besides(data);
  const path = posix.join(folder, `${name}${tried}${thisProcess}-${randomBytes(6).toString('hex')}`);
  return { by, path, roots: data.roots };
}

export function isTry(path: string): boolean {
  return isOurs(path) && posix.basename(path).includes(tried);
}

/** Of an agent that died while it tried. */
export function isLeftTry(path: string): boolean {
  return isTry(path) && !path.includes(`${tried}${thisProcess}-`);
}

/** The folder that copies are made in, and what their names begin with. */
export function besides({ roots: [first], copies }: CopiedData): {
  readonly folder: string;
  readonly name: string;
} {
  return { folder: copies ?? posix.dirname(first), name: posix.basename(first) };
}

/** Where a root of the data lies in its copy. */
export function rootIn({ path }: Pick<CopyPlace, 'path'>, root: string): string {
  return `${path}${root}`;
}

export function isOurs(path: string): boolean {
  return posix.isAbsolute(path) && posix.normalize(path) === path && ours.test(path);
}
