import { posix } from 'node:path';
import type { RestoreRequest } from '../../model/activities.ts';
import { memberRecord, type DatabaseRecord } from '../../model/manifest.ts';
import type { RestoreTarget } from '../../model/plan.ts';
import type { Site } from '../../model/site.ts';
import { quoteWithNearest } from '../nearest.ts';
import { PlanError } from '../plan.ts';
import { storeOf, type Part } from './part.ts';

/** Each artifact in a folder of its own, with the paths of the host that it was copied on. */
export function lookPart(
  site: Site,
  { database }: DatabaseRecord,
  request: RestoreRequest,
  to: string,
): Part {
  const { manifest, store: name, member, host: wanted } = request;
  const { restoreTo } = site;
  if (restoreTo === undefined)
    throw new PlanError(
      `the site file of ${site.site} names no folder to unpack below: add, at the top level, restore-to: /an/existing/folder`,
    );
  if (!to.startsWith(`${restoreTo}/`) || posix.normalize(to) !== to || to.endsWith('/'))
    throw new PlanError(`${to} is not below ${restoreTo}, which restore-to of the site file names`);
  if (member !== undefined)
    throw new PlanError('a member is not unpacked by itself: leave out --member, or --to');
  if (wanted !== undefined && !site.hosts.includes(wanted))
    throw new PlanError(`unknown host ${quoteWithNearest(wanted, site.hosts)}`);
  const { keeper, shared } = storeOf(site, name);
  const artifacts = manifest.artifacts.filter((one) => one.store === name && one.database === database);
  if (artifacts.length === 0)
    throw new PlanError(`set ${manifest.set.id} in ${name} has no artifact of ${database}`);
  const targets = artifacts.map((artifact): RestoreTarget => {
    const path = posix.join(to, artifact.name.replace(/\.tar\.zst$/, '').replaceAll('/', '.'));
    const whose = memberRecord(manifest, { database, artifact: artifact.name })?.member;
    return {
      ...{ database, host: wanted ?? (shared ? keeper : artifact.host), artifact: artifact.name },
      ...(whose !== undefined && { member: whose }),
      ...{ contentBytes: artifact.contentBytes, replaces: [path], to: path },
    };
  });
  return { targets, restored: { database, members: [], fingerprint: null } };
}
