import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { defineUnit, servicectl, startUnit, type Unit } from '../../demo/services/supervised.ts';
import type { Member, Server, ShardedCluster } from '../support/mongodb.ts';
import type { Cleanup } from '../support/processes.ts';
import { backup, mongod7, uriOf } from './fixture.ts';

/** One host with a cluster, a tree of files, and a service that uses both; a procedure that backs all of it up. */
export interface ClusterSite {
  readonly file: string;
  readonly sites: string;
  readonly state: string;
  readonly store: string;
  readonly tree: string;
  readonly app: Unit;
  readonly hosts: readonly string[];
}

const host = 'db-1';

/** Units end with whoever holds this. */
export async function holdAlive(cleanup: Cleanup): Promise<string> {
  const alive = join(await cleanup.folder(), 'alive');
  writeFileSync(alive, '');
  await cleanup.start(['flock', '--no-fork', alive, 'sleep', 'infinity']);
  return alive;
}

/**
 * @param alive see {@link holdAlive}.
 * @param replicaSets whether it says of each member which set it is of.
 */
export async function writeClusterSite(
  cleanup: Cleanup,
  cluster: ShardedCluster,
  {
    database,
    alive,
    replicaSets = false,
  }: { readonly database: string; readonly alive: string; readonly replicaSets?: boolean },
): Promise<ClusterSite> {
  const folder = await cleanup.folder();
  const at = (name: string) => join(folder, name);
  for (const name of ['sites', 'state', 'store', 'tree']) mkdirSync(at(name), { mode: 0o755 });
  for (const server of [...cluster.members, cluster.mongos])
    writeFileSync(at(`${server.port}.uri`), `${uriOf(server, backup)}\n`, { mode: 0o600 });
  const app = defineUnit(at('app'), ['sleep', 'infinity'], alive);
  await startUnit(app);
  const file = join(at('sites'), 'cluster.yaml');
  const text = siteFile(cluster, database, at);
  writeFileSync(file, replicaSets ? text : text.replace(/, replica-set: \w+/g, ''), { mode: 0o644 });
  return {
    ...{ file, sites: at('sites'), state: at('state'), store: at('store'), tree: at('tree'), app },
    hosts: [host],
  };
}

function siteFile(cluster: ShardedCluster, database: string, at: (name: string) => string): string {
  const upBy = new Date(Date.now() + 10 * 3_600_000).toISOString().slice(11, 16);
  const member = ({ name, set, port, dataDir }: Member) =>
    `        "${name}": { host: ${host}, service: mongod-${port}, data: ${dataDir}, uri: { file: ${at(`${port}.uri`)} }, replica-set: ${set} }`;
  return `site: cluster
timezone: UTC
hosts: [${host}]
services:
${service('app', at('app'))}
${cluster.members.map((one) => service(`mongod-${one.port}`, unitOf(one))).join('\n')}
${service('mongos', unitOf(cluster.mongos))}
databases:
  conf:
    used-by: [app]
    files: { host: ${host}, roots: [${at('tree')}] }
  ${database}:
    used-by: [app]
    mongodb:
      mongos: { host: ${host}, uri: { file: ${at(`${cluster.mongos.port}.uri`)} } }
      routers: [mongos]
      mongod: ${JSON.stringify(mongod7)}
      members:
${cluster.members.map(member).join('\n')}
      allow: [set-down]
stores:
  vault: { directory: ${at('store')}, shared: true, keeper: ${host} }
procedures:
  nightly:
    up-by: "${upBy}"
    steps:
      - stop: [app]
      - backup: { databases: [conf, ${database}], method: cold, to: [vault] }
    keep: { last: 2 }
`;
}

function service(name: string, folder: string): string {
  return `  ${name}:
    host: ${host}
    command:
${['start', 'stop', 'status', 'instance', 'last-exit', 'hold-down', 'let-go']
  .map((verb) => `      ${verb}: [${servicectl}, ${verb}, ${folder}]`)
  .join('\n')}
    stop-within: 60s
    ready: { within: 120s }`;
}

function unitOf({ pidFile }: Server): string {
  return dirname(pidFile);
}
