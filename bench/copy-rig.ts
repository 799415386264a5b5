import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { locate, type ProgramName } from '#components';
import { checkoutPath } from '../demo/checkout.ts';
import { createUnitServers } from '../demo/cluster.ts';
import type { Cleanup } from '../demo/local/cleanup.ts';
import type { Running } from '../demo/local/mongodb/deployment.ts';
import { startReplicaSet, type ReplicaSet } from '../demo/local/mongodb/replica-set.ts';
import type { Member } from '../demo/local/mongodb/server.ts';
import { servicectl } from '../demo/services/supervised.ts';
import { holdAliveLock } from '../demo/local/alive-lock.ts';

/** A replica set of the native mongod, under servicectl, with its data where it is told. */
export interface CopiedSet {
  readonly database: string;
  readonly set: ReplicaSet & Running;
  readonly copyBy: string;
  readonly copies?: string;
}

/** A server under servicectl whose data is a tree of files, for a site file. */
export interface CopiedTree {
  readonly database: string;
  /** Of the unit. */
  readonly folder: string;
  readonly data: string;
  readonly copyBy: string;
  readonly copies?: string;
  /** Exits with 0 once it answers. */
  readonly ready: readonly string[];
}

export const host = 'db-1';

/** @param dataIn the folder of a member's data, which exists. */
export async function startCopiedSet(
  cleanup: Cleanup,
  options: {
    readonly database: string;
    readonly members: 1 | 3;
    readonly copyBy: string;
    readonly copies?: string;
    readonly dataIn: (index: number) => string | Promise<string>;
  },
): Promise<CopiedSet> {
  const { database, members, copyBy, copies, dataIn } = options;
  const folder = await cleanup.folder();
  const alive = join(folder, 'alive');
  await holdAliveLock(cleanup, alive);
  const data: string[] = [];
  for (let index = 0; index < members; index++) data.push(await dataIn(index));
  const set = await startReplicaSet({
    mongod: command('mongod-native'),
    ...{ name: database, members, servers: createUnitServers(alive) },
    parameters: ['shutdownTimeoutMillisForSignaledShutdown=500'],
    placeOf: (_, index) => {
      const place = join(folder, `${database}-${index}`);
      mkdirSync(place, { recursive: true });
      return { folder: place, dataDir: data[index] ?? '' };
    },
  });
  cleanup.add(() => set.stop());
  return { database, set, copyBy, ...(copies !== undefined && { copies }) };
}

/** One host with these sets and trees, a store, and a procedure for each, named after it. */
export async function writeCopySite(
  cleanup: Cleanup,
  sets: readonly CopiedSet[],
  trees: readonly CopiedTree[] = [],
): Promise<{ file: string; sites: string; state: string; store: string; hosts: readonly string[] }> {
  const folder = await cleanup.folder();
  const at = (name: string) => join(folder, name);
  for (const name of ['sites', 'state', 'store']) mkdirSync(at(name), { mode: 0o755 });
  const file = join(at('sites'), 'copies.yaml');
  for (const { set } of sets)
    for (const { port } of set.members)
      writeFileSync(at(`${port}.uri`), `mongodb://127.0.0.1:${port}/\n`, { mode: 0o600 });
  writeFileSync(file, siteFile(sets, trees, at), { mode: 0o644 });
  return { file, sites: at('sites'), state: at('state'), store: at('store'), hosts: [host] };
}

function siteFile(
  sets: readonly CopiedSet[],
  trees: readonly CopiedTree[],
  at: (name: string) => string,
): string {
  const upBy = new Date(Date.now() + 10 * 3_600_000).toISOString().slice(11, 16);
  const service = (name: string, folder: string, ready: string) => `  ${name}:
    host: ${host}
    command:
${['start', 'stop', 'status', 'instance', 'last-exit', 'hold-down', 'let-go']
  .map((verb) => `      ${verb}: [${servicectl}, ${verb}, ${folder}]`)
  .join('\n')}
    stop-within: 60s
    ready: { ${ready}within: 60s }`;
  const mongod = ({ port, pidFile }: Member) => service(`mongod-${port}`, join(pidFile, '..'), '');
  const member =
    ({ copies }: CopiedSet) =>
    ({ name, port, dataDir }: Member) =>
      `        "${name}": { host: ${host}, service: mongod-${port}, data: ${dataDir}, uri: { file: ${at(`${port}.uri`)} }${copies === undefined ? '' : `, copies: ${copies}`} }`;
  return `site: copies
timezone: UTC
hosts: [${host}]
services:
${[
  ...sets.flatMap(({ set }) => set.members.map(mongod)),
  ...trees.map(({ database, folder, ready }) =>
    service(`server-${database}`, folder, `command: ${JSON.stringify(ready)}, `),
  ),
].join('\n')}
databases:
${sets
  .map(
    (one) => `  ${one.database}:
    used-by: []
    mongodb:
      copy-by: ${one.copyBy}
      mongod: ${JSON.stringify(command('mongod-native'))}
      members:
${one.set.members.map(member(one)).join('\n')}
      allow: [set-down]`,
  )
  .join('\n')}
${trees.map(treeDatabase).join('\n')}
stores:
  vault: { directory: ${at('store')}, shared: true, keeper: ${host} }
procedures:
${sets
  .map(
    ({ database }) => `  ${database}:
    up-by: "${upBy}"
    steps:
      - backup: { databases: [${database}], method: cold, to: [vault] }
    keep: { last: 1 }`,
  )
  .join('\n')}
${trees
  .map(
    ({ database }) => `  ${database}:
    up-by: "${upBy}"
    steps:
      - stop: [server-${database}]
      - backup: { databases: [${database}], method: cold, to: [vault] }
    keep: { last: 1 }`,
  )
  .join('\n')}
`;
}

function treeDatabase({ database, data, copyBy, copies }: CopiedTree): string {
  const how = copyBy === 'stream' ? '' : `, copy-by: ${copyBy}`;
  const where = copies === undefined ? '' : `, copies: ${copies}`;
  return `  ${database}:
    used-by: [server-${database}]
    files: { host: ${host}, roots: [${data}]${how}${where} }`;
}

export function command(name: ProgramName): readonly string[] {
  const found = locate(name);
  if (found === undefined) throw new Error(`${name} is not there. What to do: npm run setup`);
  return found.command;
}

export const main = [process.execPath, checkoutPath('dist/cli/main.js')];
