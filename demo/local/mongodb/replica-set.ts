import { join } from 'node:path';
import { freePort } from '../ports.ts';
import { waitFor } from '../wait.ts';
import { createRoot, directUri, findPrimary, hello, userinfo, withAdmin } from './admin.ts';
import { deploy, type Deployment, type DeployOptions, type Running } from './deployment.ts';
import type { Member } from './server.ts';

export interface ReplicaSetOptions extends Pick<DeployOptions, 'servers' | 'placeOf' | 'parameters'> {
  /** How `mongod` is run: the start of its argument vector. */
  mongod: readonly string[];
  name?: string;
  members?: 1 | 2 | 3;
  auth?: boolean;
}

export interface ReplicaSet {
  name: string;
  uri: string;
  members: Member[];
  /** Waits until a member says that it is the primary, and gives it. */
  primary(): Promise<Member>;
  /** Waits until there is a primary and all others are secondaries. */
  untilHealthy(): Promise<void>;
}

/** Starts a replica set on 127.0.0.1 and waits until all its members are primary or secondary. */
export function startReplicaSet(options: ReplicaSetOptions): Promise<ReplicaSet & Running> {
  const { mongod, name = 'rs0', members = 3, auth = false, ...how } = options;
  return deploy({ auth, ...how }, async (deployment) => {
    const set = await describeSet(deployment, { mongod, name, size: members });
    await launchSet(deployment, set);
    await set.untilHealthy();
    return set;
  });
}

interface SetOptions {
  mongod: readonly string[];
  name: string;
  size: number;
  role?: Role;
}

type Role = 'shardsvr' | 'configsvr';

/** Gives each member its port and its folder; nothing runs yet. */
export async function describeSet(deployment: Deployment, options: SetOptions): Promise<ReplicaSet> {
  const { name, size } = options;
  const members = await Promise.all(
    Array.from({ length: size }, (_, index) => describeMember(deployment, options, index)),
  );
  deployment.announce(members);
  return {
    name,
    uri: `mongodb://${userinfo(deployment.credentials)}${seedsOf(members)}/?replicaSet=${name}`,
    members,
    primary: () => waitFor(() => findPrimary(members), { what: `a primary of ${name}`, withinMs: 60_000 }),
    untilHealthy: async () => {
      await waitFor(() => isHealthy(members), {
        what: `every member of ${name} to be up`,
        withinMs: 120_000,
      });
    },
  };
}

/** Starts the members at the same time, and returns when one is primary, and has the user if there is one. */
export async function launchSet(deployment: Deployment, set: ReplicaSet, role?: Role): Promise<void> {
  const { credentials, servers } = deployment;
  const [first] = set.members;
  if (!first) throw new Error(`replica set ${set.name} needs a member`);
  await Promise.all(set.members.map((member) => servers.start(member)));
  await initiate(first, set, role);
  await elect(first, deployment);
  if (credentials) await withAdmin(directUri(first.port), (admin) => createRoot(admin, credentials));
}

/** The members as the commands of a cluster take them: host:port,host:port. */
export function seedsOf(members: readonly Member[]): string {
  return members.map(({ name }) => name).join(',');
}

async function describeMember(
  deployment: Deployment,
  { mongod, name: set, role }: SetOptions,
  index: number,
): Promise<Member> {
  const port = await freePort();
  const { folder, dataDir } = deployment.placeOf(set, index, port);
  const pidFile = join(folder, 'mongod.pid');
  const logFile = join(folder, 'mongod.log');
  return {
    name: `127.0.0.1:${port}`,
    set,
    port,
    dataDir,
    pidFile,
    logFile,
    uri: directUri(port, deployment.credentials),
    command: [
      ...mongod,
      ...['--replSet', set, ...(role ? [`--${role}`] : [])],
      ...['--bind_ip', '127.0.0.1', '--port', String(port), '--nounixsocket'],
      ...['--dbpath', dataDir, '--pidfilepath', pidFile, '--logpath', logFile, '--logappend'],
      ...(deployment.key ? ['--keyFile', deployment.key.file] : []),
      ...frugal,
      ...deployment.parameters.flatMap((parameter) => ['--setParameter', parameter]),
    ],
  };
}

/** Ten of these share two cores and a few gigabytes, under an emulator: what no test needs is off or small. */
const frugal = [
  ...['--wiredTigerCacheSizeGB', '0.25', '--oplogSize', '64', '--journalCommitInterval', '500'],
  ...[
    'diagnosticDataCollectionEnabled=false',
    'ttlMonitorEnabled=false',
    'heartBeatFrequencyMs=30000',
    // Each connection among the members computes this many rounds.
    'scramIterationCount=5000',
    'scramSHA256IterationCount=5000',
  ].flatMap((parameter) => ['--setParameter', parameter]),
];

async function initiate(first: Member, { name, members }: ReplicaSet, role?: Role): Promise<void> {
  const config = {
    _id: name,
    ...(role === 'configsvr' ? { configsvr: true } : {}),
    members: members.map(({ name: host }, index) => ({ _id: index, host })),
  };
  await withAdmin(directUri(first.port), (admin) => admin.command({ replSetInitiate: config }));
}

/** Asks the first member to stand for election at once: by itself it would wait for the election timeout, 10 s. */
async function elect(first: Member, { key }: Deployment): Promise<void> {
  const system = key && { user: '__system', password: key.content };
  const uri = directUri(first.port, system) + (key ? '&authSource=local' : '');
  await withAdmin(uri, async (admin) => {
    await waitFor(
      async () => {
        const state = await admin.command({ hello: 1 });
        // Fails until the others know the set.
        if (state['secondary'] === true) await admin.command({ replSetStepUp: 1 });
        return state['isWritablePrimary'] === true;
      },
      { what: `${first.name} to become primary`, withinMs: 60_000 },
    );
  });
}

async function isHealthy(members: readonly Member[]): Promise<boolean> {
  const states = await Promise.all(members.map(hello));
  return (
    states.filter((state) => state['isWritablePrimary'] === true).length === 1 &&
    states.every((state) => state['isWritablePrimary'] === true || state['secondary'] === true)
  );
}
