import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import type { HostName, Site } from '../../model/site.ts';
import { toHold, type DataResource } from '../../model/resource.ts';
import { outermost } from '../archive/survey.ts';
import { refuse } from '../ledger/refusals.ts';
import { memberOf } from '../mongodb/engine.ts';
import { lookRoot } from './look.ts';

/** Where a restore on this host works: all from its own site file, and resolved once, when it is begun. */
export interface RestorePlace {
  /** Beside the first root, for the agent alone: what is unpacked, and in the end what is given up. */
  readonly staging: string;
  readonly roots: readonly { readonly path: string; readonly aside: string }[];
}

/** Of the claim under which it is restored: no other has places of the same names. */
export interface RestoreOwner {
  readonly journal: string;
  readonly runId: string;
  readonly at: string;
}

/** What is replaced: of a tree of files its roots, of MongoDB the member's dbPath. Only on the host that the site file names. */
export function dataRoots(site: Site, host: HostName, resource: DataResource): readonly string[] {
  if (resource.kind === 'look') return [lookRoot(site, host, resource.path)];
  const { database, member } = resource;
  if (member !== undefined) {
    const { host: on, data } = memberOf(site, database, member);
    if (on !== host) throw refuse('UnknownName', `${member} of ${database} is not on ${host}`);
    return [posix.normalize(data).replace(/\/+$/, '')];
  }
  const engine = site.databases[database]?.engine;
  if (engine?.kind !== 'files' || engine.host !== host)
    throw refuse('UnknownName', `${host} has no file tree named "${database}" in its site file`);
  return outermost(engine.roots);
}

/** `<root>.before-<when>-<run>` is what an operator sees afterwards; staging has the name of every copy that is ours. */
export function restorePlace(
  site: Site,
  host: HostName,
  resource: DataResource,
  { journal, runId, at }: RestoreOwner,
): RestorePlace {
  const roots = dataRoots(site, host, resource);
  const [first = ''] = roots;
  const id = createHash('sha256')
    .update(`${journal} ${toHold(resource)}`)
    .digest('hex')
    .slice(0, 12);
  const when = at.replaceAll(/[-:]|\.\d+/g, '');
  return {
    staging: posix.join(posix.dirname(first), `${posix.basename(first)}.coldbackup-${id}`),
    roots: roots.map((path) => ({ path, aside: `${path}.before-${when}-${runId.slice(0, 8)}` })),
  };
}
