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
import { dataRoots } from '../../activities/restore/place.ts';
import type { Artifact, Manifest, SetSummary } from '../../model/manifest.ts';
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
  /** Asked when a call is done; throws to make its answer get lost. */
  lost: (call: string) => void | Promise<void>;
  /** What lies at these paths, in short: `[old]`, `[new]`, or both. */
  lying(places: readonly { readonly host: HostName; readonly path: string }[]): readonly Data[];
  /** Of copies that go to several stores. */
  storeFails: (store: string, artifact: string) => boolean;
  /**
   * Called where a fault makes the run cancel what is in flight: what runs ends later, what has ended is known first. The test server (not a real
   * one) is stuck for ever when an activity ends while its cancel is on the way.
   */
  hush(): Promise<void>;
  close(): void;
}

/** What was there at the start, or what a restore has put in its place. */
export type Data = 'old' | 'new';

/** @param stored what the store holds at the start. */
export function createMiniature(
  site: Site,
  digest: string,
  plan: () => Plan,
  clock: () => Promise<string>,
  stored: readonly Manifest[] = [],
): Miniature {
  // In memory where that is: hundreds of nights wait for the disk at each line of their journals otherwise.
  const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'coldbackup-night-'));
  const state = new Map<string, 'running' | 'stopped'>();
  const held = new Set<string>();
  const snapshots = new Set<string>();
  const staged = new Set<string>();
  const data = new Map<string, Data>();
  const met: string[] = [];
  const instances = new Map<string, number>();
  const settings = { _id: 'balancer', mode: 'full', activeWindow: { start: '23:00', stop: '6:00' } };
  const balancerFound = JSON.stringify(settings);
  /** They lie in the data of the config servers: a set holds them as a night has left them, off. */
  const balancer: Record<Data, Readonly<Record<string, unknown>> | null> = {
    old: settings,
    new: { ...settings, mode: 'off' },
  };
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
      ...[...snapshots, ...staged].map((key) => `there is ${key}`),
      ...met,
      ...(JSON.stringify(balancer[configData()]) === balancerFound
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
    lost: () => undefined,
    lying: (places) => [...new Set(places.map(({ host, path }) => dataAt(host, path)))].sort(),
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
            await miniature.lost(call);
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
        return summaryOf(manifest, store);
      },
      listSets: async ({ store }) => stored.map((manifest) => summaryOf(manifest, store)),
      showSet: async ({ set }) => {
        const found = stored.find((manifest) => manifest.set.id === set.id);
        if (found === undefined) throw new Error(`the miniature holds no set ${set.id}`);
        return found;
      },
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
        const sets = setsOf(found);
        if (found.mongosHost === null) return { topology: 'replica-set', sets, shards: null, balancer: null };
        const shards = sets.flatMap(({ set, role, members }) =>
          role === 'shard' ? [{ _id: set, host: `${set}/${members.join(',')}` }] : [],
        );
        return { topology: 'sharded', sets, shards, balancer: { balancer: balancer[configData()] } };
      },
      mongodbGate: async () => undefined,
      mongodbPrimary: async ({ member }) => ({ primary: primaryOf(member) }),
      mongodbNewestFirst: async ({ database, member }) => ({
        members: membersBeside(database, member),
      }),
      mongodbMark: async () => ({ marker: { ts: '1,1', term: 1 } }),
      mongodbDescribe: async ({ member }) => {
        const set = mongodbsOf(plan())
          .flatMap(setsOf)
          .find(({ members }) => members.includes(member));
        return {
          ...{ version: '7.0.11', fcv: '7.0', options: {} },
          replicaSetConfig: { _id: set?.set, members: set?.members.map((name) => ({ host: name })) },
          shardIdentity: set?.role === 'shard' ? { shardName: set.set } : null,
        };
      },
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
      start: async (name, service) => {
        meet(name);
        instances.set(key(service), (instances.get(key(service)) ?? 0) + 1);
        state.set(key(service), 'running');
      },
      instanceOf: async (service) => String(instances.get(key(service)) ?? 0),
      guard: async () => 'holds',
      balancer: {
        observe: async () => ({ kind: 'balancer', settings: { balancer: balancer[configData()] } }),
        stop: async () => void (balancer[configData()] = { ...balancer[configData()], mode: 'off' }),
        restore: async (_database, found) =>
          void (balancer[configData()] = (found.settings?.['balancer'] ?? null) as typeof balancer.old),
      },
      snapshot: {
        make: async (_change, { path }) => void snapshots.add(`${path} on ${host}`),
        remove: async ({ path }) => void snapshots.delete(`${path} on ${host}`),
      },
      restore: {
        observe: async (resource) => ({
          kind: 'data',
          inodes: Object.fromEntries(
            dataRoots(site, host, resource).map((path) => [path, dataAt(host, path)]),
          ),
        }),
        unpack: async (_change, { staging }) => void staged.add(`${staging} on ${host}`),
        remove: async ({ staging }) => void staged.delete(`${staging} on ${host}`),
        moveAside: async (_change, { staging, roots }) => {
          if (!staged.has(`${staging} on ${host}`)) throw new Error(`nothing is unpacked in ${staging}`);
          for (const { path } of roots) data.set(`${path} on ${host}`, 'new');
          return roots.map(({ aside }) => aside);
        },
        moveBack: async ({ roots }, { inodes }) => {
          for (const { path } of roots) data.set(`${path} on ${host}`, inodes[path] as Data);
          return 'the data is as it was found';
        },
        aside: async ({ roots }) => roots.map(({ aside }) => aside),
      },
    };
  }

  function dataAt(host: HostName, path: string): Data {
    return data.get(`${path} on ${host}`) ?? 'old';
  }

  /** Two histories of one replica set must not meet. */
  function meet(service: string): void {
    const members = Object.values(site.databases).flatMap(({ engine }) =>
      engine.kind === 'mongodb' ? Object.entries(engine.members) : [],
    );
    const [, mine] = members.find(([, one]) => one.service === service) ?? [];
    if (mine === undefined) return;
    const lies = ({ host, data: path }: typeof mine) => dataAt(host, path);
    for (const [name, one] of members)
      if (
        one.replicaSet === mine.replicaSet &&
        state.get(`${one.service}@${one.host}`) === 'running' &&
        lies(one) !== lies(mine)
      )
        met.push(`${service} is started on ${lies(mine)} data, and ${name} is not`);
  }

  function configData(): Data {
    const members = Object.values(site.databases).flatMap(({ engine }) =>
      engine.kind === 'mongodb' ? Object.values(engine.members) : [],
    );
    const config = members.find(({ replicaSet }) => replicaSet === 'config');
    return config === undefined ? 'old' : dataAt(config.host, config.data);
  }

  function setsOf({ database, mongosHost, members }: PlanMongodb) {
    const engine = site.databases[database]?.engine;
    const setName = (member: string) =>
      (engine?.kind === 'mongodb' ? engine.members[member]?.replicaSet : undefined) ?? database;
    return [...new Set(members.map(({ name }) => setName(name)))].map((set) => ({
      set,
      role:
        mongosHost === null
          ? ('replica-set' as const)
          : set === 'config'
            ? ('config' as const)
            : ('shard' as const),
      members: members.filter(({ name }) => setName(name) === set).map(({ name }) => name),
      primary: null,
    }));
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

function summaryOf({ set, night, publishedAt, artifacts }: Manifest, store: string): SetSummary {
  return {
    ...{ set, store, night, publishedAt },
    ...{ format: 1, sizeBytes: 1, artifacts: artifacts.length, complete: true },
  };
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
