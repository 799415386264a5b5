import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ApplicationFailure } from '@temporalio/common';
import { beating } from '../../activities/beat.ts';
import { createJobs } from '../../activities/ledger/jobs.ts';
import { openJournal, type Journal } from '../../activities/ledger/journal.ts';
import { createLedger } from '../../activities/ledger/ledger.ts';
import { openEntries } from '../../activities/ledger/records.ts';
import type { World } from '../../activities/ledger/world.ts';
import type { AgentActivities } from '../../model/activities.ts';
import type { Artifact, Manifest } from '../../model/manifest.ts';
import type { Plan, PlanMongodb, PlanStep } from '../../model/plan.ts';
import type { HostName, Site } from '../../model/site.ts';

const hushMs = 300;
const holdMs = 3_000;

/**
 * The hosts of a site in memory: real journals and the real ledger over services, a cluster and a store that are only
 * values, so that any activity can be made to fail for good, and what is left can be looked at.
 */
export interface Miniature {
  readonly hosts: readonly HostName[];
  activities(host: HostName): AgentActivities;
  /** Everything that does not look as at the start; empty: all is back. */
  differences(): readonly string[];
  readonly published: string[];
  readonly manifests: Manifest[];
  /** Every call in the order of its begin: `host activity what`. */
  readonly calls: string[];
  /** Asked before each call and each undo; throws to make it fail for good. */
  fault: (call: string) => void | Promise<void>;
  /** Of copies that go to several stores. */
  storeFails: (store: string, artifact: string) => boolean;
  /**
   * Called where a fault makes the run cancel what is in flight: what runs ends later, what has ended is known first. The test server (not a real
   * one) is stuck for ever when an activity ends while its cancel is on the way.
   */
  hush(): Promise<void>;
  close(): void;
}

export function createMiniature(
  site: Site,
  digest: string,
  plan: () => Plan,
  clock: () => Promise<string>,
): Miniature {
  // In memory where that is: hundreds of nights wait for the disk at each line of their journals otherwise.
  const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'coldbackup-night-'));
  const state = new Map<string, 'running' | 'stopped'>();
  const held = new Set<string>();
  const snapshots = new Set<string>();
  const instances = new Map<string, number>();
  const balancer = {
    settings: { _id: 'balancer', mode: 'full', activeWindow: { start: '23:00', stop: '6:00' } } as Record<
      string,
      unknown
    > | null,
  };
  const balancerFound = JSON.stringify(balancer.settings);
  for (const [name, { hosts, normally }] of Object.entries(site.services))
    for (const host of hosts) state.set(`${name}@${host}`, normally);
  const before = new Map(state);
  const journals = new Map<HostName, Journal>(
    site.hosts.map((host) => [host, openJournal(join(folder, host))]),
  );
  const made = new Map<HostName, AgentActivities>();
  const calls: string[] = [];
  const published: string[] = [];
  const manifests: Manifest[] = [];
  let hushedAtMs = -Infinity;

  const miniature: Miniature = {
    hosts: site.hosts,
    activities(host) {
      const activities = made.get(host) ?? instrument(host, activitiesOf(host));
      made.set(host, activities);
      return activities;
    },
    differences: () => [
      ...[...state].filter(([key, now]) => before.get(key) !== now).map(([key, now]) => `${key} is ${now}`),
      ...[...held].map((key) => `${key} is held down`),
      ...[...snapshots].map((key) => `there is ${key}`),
      ...(JSON.stringify(balancer.settings) === balancerFound
        ? []
        : [`the balancer is not as found, of ${mongodbOf(plan()).mongosHost ?? 'nobody'}`]),
      ...[...journals].flatMap(([host, journal]) =>
        journal.state().claim === null
          ? []
          : [`${host} is still claimed, ${openEntries(journal.state()).length} changes open`],
      ),
    ],
    published,
    manifests,
    calls,
    fault: () => undefined,
    storeFails: () => false,
    hush() {
      hushedAtMs = performance.now();
      return delay(hushMs);
    },
    close() {
      for (const journal of journals.values()) journal.release();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return miniature;

  /** The same names at every run: a call is `host activity subject`, whatever its ids are. */
  function instrument(host: HostName, activities: AgentActivities): AgentActivities {
    return Object.fromEntries(
      Object.entries(activities).map(([name, activity]: [string, (input: never) => Promise<unknown>]) => [
        name,
        (input: never) =>
          beating(async () => {
            const call = `${host} ${name} ${subjectOf(input)}`.trim();
            calls.push(call);
            const begunAtMs = performance.now();
            await miniature.fault(call);
            const result = await activity(input);
            const sinceFaultMs = performance.now() - hushedAtMs;
            if (begunAtMs <= hushedAtMs + hushMs && sinceFaultMs < holdMs) await delay(holdMs - sinceFaultMs);
            return result;
          }),
      ]),
    ) as unknown as AgentActivities;
  }

  function activitiesOf(host: HostName): AgentActivities {
    const journal = journals.get(host);
    if (journal === undefined) throw new Error(`no host ${host}`);
    const jobs = createJobs(journal, () => new Date().toISOString());
    const signal = () => new AbortController().signal;
    const ledger = createLedger({
      host,
      site,
      siteDigest: digest,
      journal,
      jobs,
      signal,
      world: worldOf(host),
      warn: () => undefined,
    });
    return {
      ...ledger,
      preflight: async () => ({
        host,
        version: 'test',
        protocol: 1,
        siteDigest: digest,
        clock: await clock(),
        pid: 1,
        checks: [],
        copyBy: Object.fromEntries(
          [
            ...mongodbsOf(plan()).flatMap(({ database, members }) =>
              members.map(({ name }) => `${database}/${name}`),
            ),
            ...Object.keys(site.databases),
          ].map((copied) => [copied, 'reflink']),
        ),
      }),
      observeHost: async () => ({ host, held: false, services: [], balancers: [] }),
      writeStoreToken: async () => undefined,
      readStoreToken: async () => true,
      removeStoreToken: async () => undefined,
      waitForJob: async () => ({ outcome: 'reached', last: 'ended well' }),
      waitForCount: async () => ({ outcome: 'reached', last: '0' }),
      copy: async (input) =>
        jobs.run(
          input.id,
          input.position,
          async () => artifactOf(input.artifact, input.store, host, input.source.database),
          signal(),
        ),
      copyToStores: async (input) =>
        jobs.run(
          input.id,
          input.position,
          async () => {
            const failed = input.stores.filter((store) => miniature.storeFails(store, input.artifact));
            const left = input.stores.filter((store) => !failed.includes(store));
            const isOver = left.length === 0 || (input.needs === 'all' && failed.length > 0);
            if (isOver) await miniature.hush();
            if (isOver) throw ApplicationFailure.nonRetryable(`${failed.join(', ')} full`, 'StoreError');
            return {
              artifacts: left.map((store) => artifactOf(input.artifact, store, host, input.source.database)),
              failed: failed.map((store) => ({ store, why: 'the store is full' })),
            };
          },
          signal(),
        ),
      fingerprintCopy: async () => ({}),
      publishSet: async ({ store, manifest }) => {
        published.push(manifest.set.id);
        manifests.push(manifest);
        return {
          set: manifest.set,
          store,
          format: 1,
          night: manifest.night,
          publishedAt: manifest.publishedAt,
          sizeBytes: 1,
          artifacts: manifest.artifacts.length,
          complete: true,
        };
      },
      listSets: async () => [],
      showSet: async () => Promise.reject(new Error('not in the miniature')),
      verifySet: async ({ store, set }) => ({
        set,
        store,
        checkedBytes: 0,
        artifacts: 0,
        elsewhere: [],
        problems: [],
      }),
      pruneSets: async () => [],
      explainSets: async () => [],
      removeSet: () => Promise.reject(new Error('no night does this')),
      pinSet: async () => undefined,
      useSet: async () => undefined,
      mendSet: () => Promise.reject(new Error('no night does this')),
      recordVerification: () => Promise.reject(new Error('no night does this')),
      drillSet: async () => Promise.reject(new Error('not in the miniature')),
      recordProof: async () => undefined,
      readProofs: async () => [],
      mongodbTopology: async ({ database }) => {
        const found = mongodbsOf(plan()).find((one) => one.database === database) ?? mongodbOf(plan());
        return found.mongosHost === null
          ? { topology: 'replica-set', sets: setsOf(found), shards: null, balancer: null }
          : { topology: 'sharded', sets: setsOf(found), shards: [], balancer: balancer.settings };
      },
      mongodbGate: async () => undefined,
      mongodbPrimary: async ({ member }) => ({ primary: primaryOf(member) }),
      mongodbNewestFirst: async ({ database, member }) => ({
        members: membersBeside(database, member),
      }),
      mongodbMark: async () => ({ marker: { ts: '1,1', term: 1 } }),
      mongodbDescribe: async () => ({
        version: '7.0.11',
        fcv: '7.0',
        options: {},
        replicaSetConfig: null,
        shardIdentity: null,
      }),
      mongodbFlush: async () => ({ flushed: true }),
      mongodbFingerprint: async () => ({}),
      mongodbWritesSince: async () => [],
      mongodbRejoin: async () => ({ problems: [], hasPrimary: true }),
      mongodbCompare: async () => ({ problems: [], notCompared: null }),
    };
  }

  function worldOf(host: HostName): World {
    const key = (service: Parameters<World['observe']>[0]) => {
      const name = Object.entries(site.services).find(
        ([, one]) => one === service || JSON.stringify(one) === JSON.stringify(service),
      )?.[0];
      return `${name ?? 'unknown'}@${host}`;
    };
    return {
      observe: async (service) => ({
        kind: 'service',
        state: state.get(key(service)) ?? 'stopped',
        dragged: [],
      }),
      stop: async (service) => {
        held.add(key(service));
        state.set(key(service), 'stopped');
        return { tookMs: 1, exitStatus: 0, instance: String(instances.get(key(service)) ?? 0) };
      },
      stateOf: async (service) => state.get(key(service)) ?? 'stopped',
      letGo: async (service) => void held.delete(key(service)),
      start: async (_name, service) => {
        instances.set(key(service), (instances.get(key(service)) ?? 0) + 1);
        state.set(key(service), 'running');
      },
      instanceOf: async (service) => String(instances.get(key(service)) ?? 0),
      guard: async () => 'holds',
      balancer: {
        observe: async () => ({ kind: 'balancer', settings: balancer.settings }),
        stop: async () => void (balancer.settings = { ...balancer.settings, mode: 'off' }),
        restore: async (_database, found) =>
          void (balancer.settings = found.settings === null ? null : { ...found.settings }),
      },
      snapshot: {
        make: async (_change, { path }) => void snapshots.add(`${path} on ${host}`),
        remove: async ({ path }) => void snapshots.delete(`${path} on ${host}`),
      },
      restore: {
        observe: async () => ({ kind: 'data', inodes: {} }),
        unpack: async () => undefined,
        remove: async () => undefined,
        moveAside: async () => [],
        moveBack: async () => '',
        aside: async () => [],
      },
    };
  }

  /** The first of the site file lags. */
  function membersBeside(database: string, member: string): readonly string[] {
    const found = mongodbsOf(plan()).find((one) => one.database === database) ?? mongodbOf(plan());
    return (setsOf(found).find(({ members }) => members.includes(member))?.members ?? []).toReversed();
  }

  function primaryOf(member: string): string | null {
    const all = mongodbsOf(plan());
    const set = all.flatMap(setsOf).find(({ members }) => members.includes(member));
    const up = all
      .flatMap(({ members }) => members)
      .filter(
        ({ name, service, host }) =>
          set?.members.includes(name) && state.get(`${service}@${host}`) === 'running',
      );
    return up[0]?.name ?? null;
  }
}

/** As in the example: services are named after their set, `mongod-shard1-a`, `mongoc-a`, `mongod-offer`. */
function setsOf(db: PlanMongodb) {
  const setName = (service: string) =>
    db.mongosHost === null ? service : service.slice(0, service.lastIndexOf('-'));
  return [...new Set(db.members.map(({ service }) => setName(service)))].map((set) => ({
    set,
    role:
      db.mongosHost === null
        ? ('replica-set' as const)
        : set === 'mongoc'
          ? ('config' as const)
          : ('shard' as const),
    members: db.members.filter(({ service }) => setName(service) === set).map(({ name }) => name),
    primary: null,
  }));
}

/** The cluster. */
function mongodbOf(plan: Plan): PlanMongodb {
  const [first] = mongodbsOf(plan);
  if (first === undefined) throw new Error('the plan has no MongoDB');
  return first;
}

function mongodbsOf(plan: Plan): readonly PlanMongodb[] {
  const all = (steps: readonly PlanStep[]): readonly PlanMongodb[] =>
    steps.flatMap((step) => {
      if (step.kind === 'parallel') return step.branches.flatMap((branch) => all(branch.steps));
      return step.kind === 'backup' ? step.databases.filter((database) => database.engine === 'mongodb') : [];
    });
  return all(plan.steps);
}

function artifactOf(name: string, store: string, host: HostName, database: string): Artifact {
  const at = new Date().toISOString();
  const fileList = { name: `${name}.files`, sha256: '', sizeBytes: 0 };
  return {
    name,
    store,
    host,
    database,
    sizeBytes: 1,
    sha256: '',
    contentBytes: 1,
    files: 1,
    fileList,
    startedAt: at,
    endedAt: at,
    leftOut: [],
  };
}

function subjectOf(input: {
  id?: string;
  scope?: string;
  artifact?: string;
  member?: string;
  job?: string;
  count?: string;
  store?: string;
}): string {
  return (
    input.id ?? input.scope ?? input.artifact ?? input.member ?? input.job ?? input.count ?? input.store ?? ''
  );
}
