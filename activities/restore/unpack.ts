import type { Change } from '../../model/ledger.ts';
import { memberRecord, mongodbRecord, type Artifact, type Manifest } from '../../model/manifest.ts';
import type { HostName, Site } from '../../model/site.ts';
import { unpackArtifact } from '../archive/unpack.ts';
import { refuse } from '../ledger/refusals.ts';
import { openStore } from '../stores/activities.ts';
import { artifactsHere, nameOf, showSet } from '../stores/sets.ts';
import type { Store } from '../stores/store.ts';
import { runCommand } from '../system/command.ts';
import { settleIdentity } from './identity.ts';
import { makeLookFolder } from './look.ts';
import type { RestorePlace } from './place.ts';
import { makeStaging, writeVerified } from './staging.ts';

export interface UnpackBesideHooks {
  readonly signal: AbortSignal;
  readonly onProcess: (pid: number) => void;
}

/**
 * Unpacks an artifact beside the data that it is to replace, with owners, modes, xattrs and ACLs; every digest is
 * compared, of every file as it lies on the disk. The data itself is not touched. Fails for good
 * as `SetDamaged` where the artifact is not what its manifest says, or holds something else than what is to be replaced.
 */
export async function unpackBeside(
  site: Site,
  host: HostName,
  change: Extract<Change, { kind: 'set-unpacked' }>,
  place: RestorePlace,
  hooks: UnpackBesideHooks,
): Promise<void> {
  const { signal, onProcess } = hooks;
  const { set, member } = change;
  const store = openStore(site, host, change.store);
  const manifest = await showSet(store, set);
  const artifact = artifactFor(store, manifest, change);
  const isLook = change.to !== undefined;
  if (isLook) await makeLookFolder(site, change.to);
  const target = await makeStaging(place);
  const links = member === undefined ? 'into-roots' : 'below-target';
  const { problems, roots } = await unpackArtifact(
    { store, set, artifact, target, links },
    { signal, onProcess },
  );
  const wrong =
    problems.length > 0 ? problems : isLook ? [] : rootsDiffer(place, roots, member !== undefined);
  if (wrong.length > 0)
    throw refuse(
      'SetDamaged',
      `${nameOf(set)} in ${store.name} cannot be restored on ${host}, and no data was touched: ${wrong.slice(0, 5).join('; ')}`,
    );
  const database = mongodbRecord(manifest, change.database);
  const record = memberRecord(manifest, change);
  if (!isLook && database !== undefined && record !== null && record.role !== 'standalone')
    await settleIdentity(
      site,
      host,
      {
        ...{ database, record, place, root: roots[0] ?? '' },
        ...(change.newSet !== undefined && { newSet: change.newSet }),
      },
      hooks,
    );
  // On the disk, before anything is moved for it.
  await runCommand(['sync', '--file-system', place.staging], { signal, onSpawn: onProcess });
  writeVerified(place, {
    set,
    artifact: artifact.name,
    // All of it, where it is looked at.
    roots: isLook ? [''] : inOrderOf(place, roots, member !== undefined),
  });
}

/** As this host sees it. */
export function artifactFor(
  store: Store,
  manifest: Manifest,
  { artifact: name }: { readonly artifact: string },
): Artifact {
  const artifact = artifactsHere(store, manifest).find((one) => one.name === name);
  if (artifact !== undefined) return artifact;
  const elsewhere = manifest.artifacts.find((one) => one.store === store.name && one.name === name);
  throw refuse(
    'UnknownName',
    elsewhere === undefined
      ? `set ${nameOf(manifest.set)} in ${store.name} has no artifact ${name}`
      : `${name} lies on ${elsewhere.host}, and store ${store.name} is not shared: ${store.host} does not see it`,
  );
}

/** A tree of files lies at the paths of the site file; a member's data may have lain elsewhere, on another host. */
function rootsDiffer(place: RestorePlace, unpacked: readonly string[], isMember: boolean): readonly string[] {
  if (isMember && unpacked.length === 1) return [];
  const wanted = place.roots.map(({ path }) => path.slice(1));
  if (!isMember && [...unpacked].sort().join('\n') === [...wanted].sort().join('\n')) return [];
  return [
    `it holds ${unpacked.map((root) => `/${root}`).join(', ') || 'nothing'}, and the site file names ${wanted.map((root) => `/${root}`).join(', ')}`,
  ];
}

function inOrderOf(place: RestorePlace, unpacked: readonly string[], isMember: boolean): readonly string[] {
  return isMember ? unpacked : place.roots.map(({ path }) => path.slice(1));
}
