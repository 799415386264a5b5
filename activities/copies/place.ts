import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import type { CopyWay, Site } from '../../model/site.ts';
import { memberOf } from '../mongodb/engine.ts';

/** A copy on this host: `root` and all below it, at `<path><root>`, so that its names are those of the data. */
export interface CopyPlace {
  readonly by: CopyWay;
  readonly path: string;
  readonly root: string;
}

/** What `path` ends with: nothing else is ever removed. */
const ours = /\.coldbackup-[0-9a-f]{12}$/;

/** `<copies or beside the data>/<its name>.coldbackup-<id>`: from this host's own site file, and of this change alone. */
export function copyPlace(
  site: Site,
  { database, member, by }: { readonly database: string; readonly member: string; readonly by: CopyWay },
  of: string,
): CopyPlace {
  const { data, copies } = memberOf(site, database, member);
  const id = createHash('sha256').update(of).digest('hex').slice(0, 12);
  return {
    by,
    path: posix.join(copies ?? posix.dirname(data), `${posix.basename(data)}.coldbackup-${id}`),
    root: data,
  };
}

/** Where the root of the data lies in its copy. */
export function rootIn({ path, root }: Pick<CopyPlace, 'path' | 'root'>): string {
  return `${path}${root}`;
}

export function isOurs(path: string): boolean {
  return posix.isAbsolute(path) && posix.normalize(path) === path && ours.test(path);
}
