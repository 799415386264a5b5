import { access, constants } from 'node:fs/promises';
import { backupsOf, type Plan } from '../../model/plan.ts';
import type { Check } from '../../model/progress.ts';
import type { CopyWay, HostName, Site } from '../../model/site.ts';
import { surveyTree } from '../archive/survey.ts';
import type { Copied } from '../copies/place.ts';
import { copyExcludes } from '../mongodb/cold.ts';
import { engineOf, memberOf, membersOn } from '../mongodb/engine.ts';
import { sizeText } from '../stores/size-text.ts';

/** Files on this host that the plan may copy: of a set's members any may be the one. */
export interface Source {
  readonly subject: string;
  readonly roots: readonly string[];
  readonly exclude: readonly string[];
  readonly stores: readonly string[];
  /** Of a database with copy-by. */
  readonly copied?: Copied & { readonly asked: CopyWay | 'auto' };
  /** Of all with the same one alone is copied: the members of a replica set. Absent: it is. */
  readonly oneOf?: string;
}

/** How long a tree is looked at; a preflight has two minutes. */
const lookWithinMs = 60_000;

export function sourcesOn(site: Site, plan: Pick<Plan, 'steps'>, host: HostName): readonly Source[] {
  return backupsOf(plan.steps).flatMap(({ databases, to: stores }) =>
    databases.flatMap(({ database }): readonly Source[] => {
      const engine = site.databases[database]?.engine;
      if (engine?.kind === 'files') {
        const { roots, exclude, copyBy: asked } = engine;
        if (engine.host !== host) return [];
        const copied = asked === undefined ? {} : { copied: { database, asked } };
        return [{ subject: `database ${database}`, roots, exclude, stores, ...copied }];
      }
      return membersOn(site, database, host).map((member) => ({
        subject: `${database} ${member}`,
        oneOf: `${database}/${setOf(site, database, member)}`,
        roots: [memberOf(site, database, member).data],
        exclude: copyExcludes(),
        stores,
        ...(engine?.copyBy !== undefined && { copied: { database, member, asked: engine.copyBy } }),
      }));
    }),
  );
}

/** Without mongos all members are of one set; of a cluster the site file may say it, else each counts for itself. */
function setOf(site: Site, database: string, member: string): string {
  const { replicaSet } = memberOf(site, database, member);
  return replicaSet ?? (engineOf(site, database).mongos === undefined ? '' : member);
}

/**
 * Looks through the tree as its copy will, while it is in use: a link, a mount or a file that would make the copy fail
 * is a no-go before anything is stopped.
 *
 * @returns also what there is to copy, before compression; null: not known.
 */
export async function checkSource(
  host: HostName,
  { subject, roots, exclude }: Source,
  { signal, withinMs = lookWithinMs }: { readonly signal: AbortSignal; readonly withinMs?: number },
): Promise<{ readonly check: Check; readonly totalBytes: number | null }> {
  const timeout = AbortSignal.timeout(withinMs);
  try {
    for (const root of roots) await access(root, constants.R_OK);
    const { files, totalBytes } = await surveyTree(
      { host, roots, exclude },
      { signal: AbortSignal.any([signal, timeout]), inUse: true },
    );
    const detail = `${files} files, ${sizeText(totalBytes)}, readable, all of them in ${roots.join(', ')}`;
    return { check: { host, subject, verdict: 'go', detail }, totalBytes };
  } catch (error) {
    signal.throwIfAborted();
    const check = timeout.aborted
      ? tooLarge(host, subject, roots, withinMs)
      : {
          host,
          subject,
          verdict: 'no-go' as const,
          detail: error instanceof Error ? error.message : String(error),
        };
    return { check, totalBytes: null };
  }
}

function tooLarge(host: HostName, subject: string, roots: readonly string[], withinMs: number): Check {
  return {
    host,
    subject,
    verdict: 'warning',
    detail: `${roots.join(', ')} could not be looked through within ${withinMs / 1_000} s: links, mounts and room are not checked`,
    hint: 'the copy itself checks them, once services are stopped',
  };
}
