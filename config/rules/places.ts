import { posix } from 'node:path';
import type { HostName, Site, Store } from '../../model/site.ts';
import { contains } from '../paths.ts';
import { formatPath } from '../problem.ts';
import type { Finding, Path } from '../problem.ts';

/** No store in data or data in a store, no two members with one path, no two stores with one directory, no copies in either. */
export function placeRules(site: Site): readonly Finding[] {
  const data = dataPlaces(site);
  const stores = storePlaces(site);
  return unique([
    ...pairs(data.filter(({ kind }) => kind === 'member')).flatMap(([a, b]) => sharedData(a, b)),
    ...pairs(stores).flatMap(([a, b]) => sharedStore(a, b)),
    ...stores.flatMap((store) => data.flatMap((place) => storeInData(store, place))),
    ...scratchPlaces(site).flatMap((scratch) =>
      [...data, ...stores, ...lookPlaces(site)].flatMap((place) => sharedScratch(scratch, place)),
    ),
    ...lookPlaces(site).flatMap((look) =>
      [...data, ...stores].flatMap((place) => sharedScratch(look, place)),
    ),
    ...Object.entries(site.stores).flatMap(([name, store]) => keeperWithout(name, store)),
    ...pairs(Object.entries(site.stores)).flatMap(([a, b]) => sameServer(a, b)),
    ...copyPlaces(site).flatMap((copies) => copiesInside(copies, [...data, ...stores])),
  ]);
}

interface Place {
  readonly kind: 'member' | 'files' | 'store' | 'scratch' | 'copies' | 'look';
  readonly what: string;
  readonly host: HostName;
  readonly directory: string;
  readonly path: Path;
}

function dataPlaces(site: Site): readonly Place[] {
  return Object.entries(site.databases).flatMap(([database, { engine }]): readonly Place[] => {
    if (engine.kind === 'files')
      return engine.roots.map((directory, index) => ({
        kind: 'files',
        what: database,
        host: engine.host,
        directory,
        path: ['databases', database, 'files', 'roots', index],
      }));
    return Object.entries(engine.members).map(([member, { host, data }]) => ({
      kind: 'member',
      what: `member ${member}`,
      host,
      directory: data,
      path: ['databases', database, 'mongodb', 'members', member, 'data'],
    }));
  });
}

/** Where copies on the host are made: beside the data, unless told. */
function copyPlaces(site: Site): readonly Place[] {
  return Object.entries(site.databases).flatMap(([database, { engine }]): readonly Place[] => {
    if (engine.copyBy === undefined) return [];
    const place = (
      what: string,
      { host, copies }: { readonly host: HostName; readonly copies?: string },
      data: string,
      at: readonly [above: Path, data: Path],
    ): Place => ({
      ...({ kind: 'copies', what, host } as const),
      directory: copies ?? posix.dirname(data),
      path: copies === undefined ? at[1] : [...at[0], 'copies'],
    });
    if (engine.kind === 'files') {
      const at: Path = ['databases', database, 'files'];
      return [place(database, engine, engine.roots[0], [at, [...at, 'roots', 0]])];
    }
    return Object.entries(engine.members).map(([member, one]) => {
      const at: Path = ['databases', database, 'mongodb', 'members', member];
      return place(`member ${member}`, one, one.data, [at, [...at, 'data']]);
    });
  });
}

function storePlaces(site: Site): readonly Place[] {
  return Object.entries(site.stores).flatMap(([name, store]) => {
    const place = { kind: 'store' as const, what: `store ${name}` };
    if (store.kind === 'restic' && store.repository.startsWith('/'))
      return site.hosts.map((host) => ({
        ...{ ...place, host, directory: store.repository },
        path: ['stores', name, 'restic', 'repository'],
      }));
    if (store.kind !== 'directory') return [];
    const { directory } = store;
    const path = ['stores', name, 'directory'];
    return typeof directory === 'string'
      ? site.hosts.map((host) => ({ ...place, host, directory, path }))
      : Object.entries(directory).map(([host, own]) => ({
          ...place,
          host,
          directory: own,
          path: [...path, host],
        }));
  });
}

function scratchPlaces({ drill, hosts }: Site): readonly Place[] {
  if (drill === undefined) return [];
  return (drill.host === undefined ? hosts : [drill.host]).map((host) => ({
    ...({ kind: 'scratch', what: 'a drill', path: ['drill', 'scratch'] } as const),
    ...{ host, directory: drill.scratch },
  }));
}

function lookPlaces({ restoreTo, hosts }: Site): readonly Place[] {
  if (restoreTo === undefined) return [];
  return hosts.map((host) => ({
    ...({ kind: 'look', what: 'restore-to', path: ['restore-to'] } as const),
    ...{ host, directory: restoreTo },
  }));
}

/** What a drill leaves is removed, and what is looked at is no data: nothing else may lie there. */
function sharedScratch(scratch: Place, other: Place): readonly Finding[] {
  if (!overlap(scratch, other)) return [];
  return [
    {
      path: scratch.path,
      message: `the folder ${scratch.directory} overlaps ${other.directory} of ${other.what} on ${other.host}`,
      hint: `${scratch.what} needs a folder of its own`,
    },
  ];
}

function sharedData(a: Place, b: Place): readonly Finding[] {
  if (!overlap(a, b)) return [];
  const how = a.directory === b.directory ? 'is also that' : 'overlaps that';
  return [
    {
      path: b.path,
      message: `the path ${b.directory} on ${b.host} ${how} of ${a.what}`,
      hint: `see ${formatPath(a.path)}: each member has a directory of its own`,
    },
  ];
}

function sharedStore(a: Place, b: Place): readonly Finding[] {
  return a.host === b.host && a.what !== b.what && a.directory === b.directory
    ? [{ path: b.path, message: `${b.directory} on ${b.host} is also the directory of ${a.what}` }]
    : [];
}

/** Retention of one would remove the sets of the other. */
function sameServer(
  [name, store]: readonly [string, Store],
  [other, another]: readonly [string, Store],
): readonly Finding[] {
  const where = serverPlace(store);
  if (where === null || where !== serverPlace(another)) return [];
  return [
    {
      path: ['stores', other],
      message: `${where} is also where store ${name} is: each has a place of its own`,
    },
  ];
}

function serverPlace(store: Store): string | null {
  if (store.kind === 'directory') return null;
  if (store.kind === 'restic') return store.repository.startsWith('/') ? null : store.repository;
  if (store.kind === 'sftp') return `sftp://${store.host}:${store.port}${store.directory}`;
  return `${store.endpoint}/${store.bucket}/${store.prefix}`;
}

function storeInData(store: Place, data: Place): readonly Finding[] {
  if (store.host !== data.host) return [];
  const words = `the data of ${data.what} (${data.directory} on ${data.host})`;
  const hint = 'a store lies outside of everything that is copied into it';
  if (contains(data.directory, store.directory))
    return [{ path: store.path, message: `${store.what} at ${store.directory} lies inside ${words}`, hint }];
  return contains(store.directory, data.directory)
    ? [{ path: store.path, message: `${words} lies inside ${store.what} at ${store.directory}`, hint }]
    : [];
}

function copiesInside(copies: Place, places: readonly Place[]): readonly Finding[] {
  const inside = places.find(
    ({ host, directory }) => host === copies.host && contains(directory, copies.directory),
  );
  if (inside === undefined) return [];
  const { kind, what, directory } = inside;
  return [
    {
      path: copies.path,
      message: `copies of ${copies.what} in ${copies.directory} would lie inside ${kind === 'store' ? what : `the data of ${what}`} (${directory} on ${inside.host})`,
      hint: 'copies: a folder outside of all data and of every store, for reflink and btrfs on the file system of the data',
    },
  ];
}

function keeperWithout(name: string, store: Store): readonly Finding[] {
  if (store.kind !== 'directory') return [];
  const { directory, keeper } = store;
  return typeof directory === 'string' || directory[keeper] !== undefined
    ? []
    : [{ path: ['stores', name, 'directory'], message: `no directory on ${keeper}, its keeper` }];
}

function overlap(a: Place, b: Place): boolean {
  return a.host === b.host && (contains(a.directory, b.directory) || contains(b.directory, a.directory));
}

function pairs<T>(places: readonly T[]): readonly (readonly [T, T])[] {
  return places.flatMap((a, index) => places.slice(index + 1).map((b) => [a, b] as const));
}

function unique(findings: readonly Finding[]): readonly Finding[] {
  return [...new Map(findings.map((finding) => [JSON.stringify(finding), finding])).values()];
}
