import { lstat } from 'node:fs/promises';
import { posix } from 'node:path';
import type { RestoreTarget, PlanUnpack } from '../../model/plan.ts';
import { memberRecord, type MongodbSetRecord } from '../../model/manifest.ts';
import type { Check } from '../../model/progress.ts';
import type { HostName, Site } from '../../model/site.ts';
import { restoredAs } from '../../model/resource.ts';
import { mustBeReadable } from '../archive/stored-content.ts';
import { unpackedBytes } from '../archive/unpack.ts';
import { isSameRelease, releaseOf, serverVersion } from '../drill/isolated.ts';
import { mongodOf } from '../drill/opener.ts';
import { describeMember } from '../mongodb/describe.ts';
import { openStore } from '../stores/activities.ts';
import { sizeText } from '../stores/size-text.ts';
import { nameOf, showSet } from '../stores/sets.ts';
import { thisMachine } from '../system/machine.ts';
import { freeBytesIn } from '../system/rooms.ts';
import { lookAt } from './files.ts';
import { lookRoot, lookRows } from './look.ts';
import { originRows } from './origin.ts';
import { dataRoots } from './place.ts';
import { artifactFor } from './unpack.ts';

type Row = (verdict: Check['verdict'], detail: string, hint?: string) => Check;

/** Whether what is to be restored on this host can be: nothing is changed. */
export async function checkRestore(
  site: Site,
  host: HostName,
  { store: storeName, set, targets }: PlanUnpack,
  signal: AbortSignal,
): Promise<readonly Check[]> {
  const here = targets.filter((target) => target.host === host);
  if (here.length === 0) return [];
  const store = openStore(site, host, storeName);
  const manifest = await showSet(store, set);
  const rows = await Promise.all(
    here.map(async (target): Promise<readonly Check[]> => {
      const row = rowOf(host, target);
      const wanted = artifactFor(store, manifest, target);
      await mustBeReadable(store, wanted);
      const { name, sizeBytes } = wanted;
      const found = await store.sizeBytes(set, name);
      const artifact =
        found === sizeBytes
          ? row('go', `${name} of ${nameOf(set)}, ${sizeText(sizeBytes)}, is in ${store.place}`)
          : row(
              'no-go',
              `${name} in ${store.place} ${found === null ? 'is missing' : `has ${found} bytes`}, and the manifest says ${sizeBytes}`,
              'take another set, or another store',
            );
      const record = memberRecord(manifest, target);
      const roots = dataRoots(site, host, restoredAs(target));
      const origin =
        target.to === undefined ? await originRows(wanted, record, { roots, here: thisMachine() }) : [];
      return [
        artifact,
        ...origin.map(({ verdict, detail, hint }) => row(verdict, detail, hint)),
        ...(target.to === undefined
          ? await placeRows(roots, row)
          : (await lookRows(site, lookRoot(site, host, target.to))).map(({ verdict, detail, hint }) =>
              row(verdict, detail, hint),
            )),
        ...(record === null || target.to !== undefined || target.member === undefined
          ? []
          : await memberRows(site, { ...target, member: target.member }, record, row, signal)),
      ];
    }),
  );
  return [...rows.flat(), ...ownerRows(host), ...(await roomRows(site, host, here))];
}

function rowOf(host: HostName, { database, member }: RestoreTarget): Row {
  const subject = `restore ${member === undefined ? database : `${database} ${member}`}`;
  return (verdict, detail, hint) => ({ host, subject, verdict, detail, ...(hint !== undefined && { hint }) });
}

/** Each root can be renamed where it lies, and all are of one file system, so that one archive can be unpacked beside. */
async function placeRows(roots: readonly string[], row: Row): Promise<readonly Check[]> {
  const rows: Check[] = [];
  const disks = new Set<number>();
  for (const root of roots) {
    const above = await lstat(`${posix.dirname(root)}/.`).catch(() => null);
    const found = await lookAt(root).catch(() => null);
    if (above === null)
      rows.push(row('no-go', `${posix.dirname(root)} is not there`, 'make it, or mount its disk'));
    else disks.add(above.dev);
    if (found?.isSymbolicLink() === true)
      rows.push(row('no-go', `${root} is a symbolic link`, 'name where it leads to in the site file'));
    else if (found !== null && above !== null && found.dev !== above.dev)
      rows.push(
        row(
          'no-go',
          `${root} is a mount point or a subvolume of its own: it cannot be moved aside by a rename`,
          'restore it by hand (docs/restore-by-hand.md), or keep the data in a folder below the mount point',
        ),
      );
    else if (found === null) rows.push(row('warning', `${root} is not there now: nothing is moved aside`));
    else rows.push(row('go', `${root} will be moved aside, and stay there until you remove it`));
  }
  if (disks.size > 1)
    rows.push(
      row(
        'no-go',
        `${roots.join(', ')} lie on several file systems: one archive cannot be unpacked beside all of them`,
        'restore it by hand: docs/restore-by-hand.md',
      ),
    );
  return rows;
}

/** The old data stays, so all of the new needs room of its own; of all that goes to one disk together. */
async function roomRows(
  site: Site,
  host: HostName,
  targets: readonly RestoreTarget[],
): Promise<readonly Check[]> {
  const disks = new Map<number, { folder: string; neededBytes: number }>();
  for (const target of targets) {
    const [root = '/'] = dataRoots(site, host, restoredAs(target));
    const folder = target.to === undefined ? posix.dirname(root) : (site.restoreTo ?? '/');
    const found = await lstat(`${folder}/.`).catch(() => null);
    if (found === null) continue;
    const { neededBytes = 0 } = disks.get(found.dev) ?? {};
    disks.set(found.dev, { folder, neededBytes: neededBytes + unpackedBytes(target.contentBytes) });
  }
  return Promise.all(
    [...disks.values()].map(async ({ folder, neededBytes }) => {
      const freeBytes = await freeBytesIn(folder);
      const row: Row = (verdict, detail, hint) => ({
        ...{ host, subject: 'room for the restore', verdict, detail },
        ...(hint !== undefined && { hint }),
      });
      const detail = `${sizeText(freeBytes)} free beside ${folder}, ${sizeText(neededBytes)} needed${targets.every(({ to }) => to !== undefined) ? '' : ': the old data stays'}`;
      return freeBytes >= neededBytes
        ? row('go', detail)
        : row('no-go', detail, `make room for ${sizeText(neededBytes - freeBytes)}`);
    }),
  );
}

function ownerRows(host: HostName): readonly Check[] {
  if (process.getuid?.() === 0) return [];
  return [
    {
      ...{ host, subject: 'owners', verdict: 'warning' },
      detail: 'the agent is not root: all that it restores belongs to its own user',
      hint: 'run the agent as root for a restore',
    },
  ];
}

/** Files are opened by the release that wrote them, in the layout that they were written in, by a member of the same set. */
async function memberRows(
  site: Site,
  { database, member }: { readonly database: string; readonly member: string },
  record: MongodbSetRecord,
  row: Row,
  signal: AbortSignal,
): Promise<readonly Check[]> {
  const opener = record.role === 'standalone' ? [] : await openerRows(site, database, record, row, signal);
  const now = await describeMember(site, database, member, { signal }).catch((error: unknown) => {
    signal.throwIfAborted();
    return error instanceof Error ? error.message : String(error);
  });
  if (typeof now === 'string')
    return [
      ...opener,
      row(
        'warning',
        `it cannot be asked which mongod it is, and the set was written by ${record.version}: ${now}`,
        `make sure that it is a mongod ${releaseOf(record.version)} of the same replica set`,
      ),
    ];
  const problems = [
    ...(isSameRelease(now.version, record.version)
      ? []
      : [
          `it is mongod ${now.version}, and the set was written by ${record.version}: install ${releaseOf(record.version)} first`,
        ]),
    ...differences(now.options, record.options),
    ...(setNameOf(now) === setNameOf(record)
      ? []
      : [`it is ${setNameOf(now)}, and the set was written by ${setNameOf(record)}`]),
    ...(shardOf(now) === shardOf(record)
      ? []
      : [`it is ${shardOf(now)} of its cluster, and the set was written by ${shardOf(record)}`]),
  ];
  if (problems.length > 0) return problems.map((problem) => row('no-go', problem));
  return [
    ...opener,
    ...otherRows(now, record, row),
    row('go', `mongod ${now.version}, as the set was written by ${record.version}, fcv ${record.fcv}`),
  ];
}

/** What a mongod of the same release opens all the same. */
function otherRows(
  now: Pick<MongodbSetRecord, 'arch' | 'fcv'>,
  { arch, fcv }: Pick<MongodbSetRecord, 'arch' | 'fcv'>,
  row: Row,
): readonly Check[] {
  return [
    ...(now.fcv === fcv
      ? []
      : [
          row(
            'warning',
            `its feature compatibility version is ${now.fcv}, and was ${fcv} when the set was taken: it will be ${fcv} again`,
            'set it afterwards with setFeatureCompatibilityVersion',
          ),
        ]),
    ...(arch === undefined || now.arch === undefined || arch === now.arch
      ? []
      : [row('warning', `it is a mongod for ${now.arch}, and the set was written by one for ${arch}`)]),
  ];
}

/** Who puts the identity of the copy right. */
async function openerRows(
  site: Site,
  database: string,
  { version }: MongodbSetRecord,
  row: Row,
  signal: AbortSignal,
): Promise<readonly Check[]> {
  const mongod = mongodOf(site, database);
  if (mongod === undefined)
    return [
      row(
        'no-go',
        'the site file names no mongod to open the copy with before it becomes a member',
        `add mongod: [/usr/bin/mongod] to ${database}, of version ${releaseOf(version)}`,
      ),
    ];
  const found = await serverVersion(mongod, row('go', '').host, signal);
  if (isSameRelease(found, version)) return [];
  return [
    row(
      'no-go',
      `${JSON.stringify(mongod)} is ${found}, and the set was written by ${version}`,
      `name one of ${releaseOf(version)}`,
    ),
  ];
}

function setNameOf({ replicaSetConfig }: Pick<MongodbSetRecord, 'replicaSetConfig'>): string {
  const name = replicaSetConfig?.['_id'];
  return typeof name === 'string' ? `a member of replica set ${name}` : 'a standalone server';
}

function shardOf({ shardIdentity }: Pick<MongodbSetRecord, 'shardIdentity'>): string {
  const name = shardIdentity?.['shardName'];
  return typeof name === 'string' ? `shard ${name}` : 'no shard';
}

/** Options that say how files are laid out, and what they are of: a mongod with others refuses to open them. */
const layout = [
  ['storage', 'engine'],
  ['storage', 'directoryPerDB'],
  ['storage', 'wiredTiger', 'engineConfig', 'directoryForIndexes'],
  ['security', 'enableEncryption'],
  ['sharding', 'clusterRole'],
] as const;

function differences(
  now: Readonly<Record<string, unknown>>,
  before: Readonly<Record<string, unknown>>,
): readonly string[] {
  return layout.flatMap((path) => {
    const [here, there] = [valueAt(now, path), valueAt(before, path)];
    return here === there
      ? []
      : [`its ${path.join('.')} is ${here}, and was ${there} when the set was taken`];
  });
}

function valueAt(options: unknown, path: readonly string[]): string {
  const value = path.reduce<unknown>(
    (one, key) =>
      typeof one === 'object' && one !== null ? (one as Record<string, unknown>)[key] : undefined,
    options,
  );
  if (value === undefined) return path.at(-1) === 'engine' ? 'wiredTiger' : 'false';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
