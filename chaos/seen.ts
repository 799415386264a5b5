import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { EntryState, JournalState } from '../activities/ledger/records.ts';
import type { Rig } from './rig.ts';
import { hosts, type Host, type ServiceName } from './site.ts';

/** A night as its journals, its store and its services show it now. */
export interface Seen {
  readonly rig: Rig;
  readonly journals: Readonly<Record<Host, JournalState>>;
  entry(name: ServiceName): EntryState | null;
  /** The stop of the member that is copied. */
  member(): EntryState | null;
  /** Since the cell began. */
  starts(name: ServiceName): number;
  /** A takeover by whoever brings back. */
  takenOver(host: Host): boolean;
  claimed(host: Host): boolean;
  /** A set of this cell lies in the store, whole or not. */
  hasManifest(): boolean;
}

/** What was there when a cell began. */
export interface Before {
  readonly starts: ReadonlyMap<ServiceName, number>;
  readonly sets: readonly string[];
  readonly closed: Readonly<Record<Host, readonly string[]>>;
}

export function lookBefore(rig: Rig): Before {
  return {
    starts: new Map(rig.site.serviceNames.map((name) => [name, rig.site.starts(name)])),
    sets: manifestsIn(rig),
    closed: Object.fromEntries(hosts.map((host) => [host, closedOf(rig, host)])) as Before['closed'],
  };
}

/** null: a journal was being written or moved at this very moment. */
export function look(rig: Rig, before: Before): Seen | null {
  try {
    const journals = { 'app-1': rig.journal('app-1'), 'db-1': rig.journal('db-1') };
    return {
      ...{ rig, journals },
      entry: (name) =>
        entriesOf(journals).find(
          ({ change }) => change.kind === 'service-stopped' && change.service === name,
        ) ?? null,
      member: () =>
        entriesOf(journals).findLast(
          ({ change }) => change.kind === 'service-stopped' && change.service.startsWith('mongod-'),
        ) ?? null,
      starts: (name) => rig.site.starts(name) - (before.starts.get(name) ?? 0),
      takenOver: (host) => {
        const { claim, epoch, owner } = journals[host];
        return claim !== null && epoch > claim.epoch && owner !== null;
      },
      claimed: (host) => journals[host].claim !== null,
      hasManifest: () => manifestsIn(rig).some((path) => !before.sets.includes(path)),
    };
  } catch {
    return null;
  }
}

function entriesOf(journals: Seen['journals']): readonly EntryState[] {
  return hosts.flatMap((host) => [...journals[host].entries.values()]);
}

export function closedOf(rig: Rig, host: Host): readonly string[] {
  const folder = join(rig.site.state, 'chaos', host, 'closed');
  return existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
}

/** Paths of the manifests in the store. */
export function manifestsIn({ site }: Rig): readonly string[] {
  const root = join(site.store, 'chaos');
  if (!existsSync(root)) return [];
  return readdirSync(root)
    .flatMap((procedure) => readdirSync(join(root, procedure)).map((set) => join(root, procedure, set)))
    .map((set) => join(set, 'manifest.json'))
    .filter((file) => existsSync(file));
}
