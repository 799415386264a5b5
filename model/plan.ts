import type { Optime } from './ledger.ts';
import type { SetRef } from './manifest.ts';
import type { CopyWay, HostName, OnFailure, Retention, WaitEnd } from './site.ts';

/** RFC 3339 in UTC with milliseconds (`2026-11-21T19:00:00.000Z`): readable in the UI, and sorts as text. */
export type Instant = string;

/** A procedure resolved against the site, frozen when the run starts. Names only: agents look up the rest. */
export interface Plan {
  /** Of the calls between run and agents; an agent that speaks another refuses the claim. */
  readonly protocol: 1;
  readonly site: string;
  readonly procedure: string;
  /** SHA-256 of the parsed site file: a comment changes nothing. */
  readonly siteDigest: string;
  readonly timezone: string;
  /** Local date of the scheduled start. */
  readonly night: string;
  readonly windowStart: Instant;
  /** A scheduled night must not begin later than this; absent: a run by hand may. */
  readonly latestStart?: Instant;
  /** Until when a host that another run holds is waited for; absent: refused at once. */
  readonly waitForHoldsUntil?: Instant;
  /** When bringing back begins; null: when done. */
  readonly restartAt: Instant | null;
  readonly upBy: Instant;
  /** Undo gives up then (the journals keep the rest): up-by + limits.give-up-after. */
  readonly hardLimit: Instant;
  readonly steps: readonly PlanStep[];
  /** Every host that takes part, in name order. */
  readonly hosts: readonly HostName[];
  /** What the plan can change, per host, see `toHold`. */
  readonly holds: Readonly<Record<HostName, readonly string[]>>;
  /** Of every service that is held: how long its stop and its start may take. */
  readonly timing: Readonly<
    Record<string, { readonly stopWithinMs: number; readonly readyWithinMs: number }>
  >;
  readonly stores: Readonly<Record<string, { readonly keeper: HostName; readonly shared: boolean }>>;
  readonly keep: Retention | null;
  /** Of each store, where the site file says it so; `keep` is null then. */
  readonly keepIn?: Readonly<Record<string, Retention>>;
  /** A newest proof that is older is a warning; absent: nobody asks. */
  readonly proveEveryMs?: number;
  /** Loud, but no reason to stop: e.g. stateful services that are not in the set. */
  readonly warnings: readonly string[];
}

interface PlanStepBase {
  /** Place in the tree of steps, from 1: `3`, `2/processing/1`. Also the prefix of its changes' positions. */
  readonly id: string;
  /** For people: `stop ingest-internal, ingest-external`. */
  readonly label: string;
  readonly onFailure: OnFailure;
}

export type PlanStep = PlanStop | PlanWait | PlanParallel | PlanBackup | PlanUnpack | PlanReplace;

export interface PlanService {
  readonly service: string;
  readonly hosts: readonly HostName[];
  readonly stopWithinMs: number;
  readonly readyWithinMs: number;
}

export interface PlanStop extends PlanStepBase {
  readonly kind: 'stop';
  readonly services: readonly PlanService[];
}

export interface PlanWait extends PlanStepBase {
  readonly kind: 'wait';
  readonly for:
    | { readonly kind: 'clock'; readonly at: Instant }
    | { readonly kind: 'job'; readonly job: string; readonly host: HostName; readonly beganAfter: Instant }
    | { readonly kind: 'count'; readonly count: string; readonly host: HostName; readonly reaches: number };
  /** null only for a clock time. */
  readonly until: Instant | null;
  readonly otherwise: WaitEnd | PlanAsk;
}

export interface PlanAsk {
  readonly ask: string;
  readonly by: Instant;
  readonly else: WaitEnd;
}

export interface PlanParallel extends PlanStepBase {
  readonly kind: 'parallel';
  readonly branches: readonly { readonly name: string; readonly steps: readonly PlanStep[] }[];
}

export interface PlanBackup extends PlanStepBase {
  readonly kind: 'backup';
  readonly to: readonly string[];
  /** Several stores are written from one read, and so many of them must have it. Absent: each is written by itself. */
  readonly needs?: 'all' | 'any';
  readonly databases: readonly PlanDatabase[];
}

/** Of a restore: the set is unpacked and verified beside the data, while everything still runs. */
export interface PlanUnpack extends PlanStepBase, PlanSource {
  readonly kind: 'unpack';
}

/** Of a restore: servers stopped, the data moved aside, what was unpacked put in its place, servers started. */
export interface PlanReplace extends PlanStepBase, PlanSource {
  readonly kind: 'replace';
  /** Stopped before. */
  readonly usedBy: PlanWriters['usedBy'];
  readonly databases: readonly PlanRestored[];
}

interface PlanSource {
  readonly store: string;
  readonly set: SetRef;
  readonly targets: readonly RestoreTarget[];
}

/** One artifact, put in one place. */
export interface RestoreTarget {
  readonly database: string;
  /** Of MongoDB. Absent: the roots of a tree of files. */
  readonly member?: string;
  readonly host: HostName;
  readonly artifact: string;
  /** Of the files in it, before they are compressed. */
  readonly contentBytes: number;
  /** What is replaced, absolute, as the site file names it; or what is made to be looked at. */
  readonly replaces: readonly string[];
  /** Unpacked there, to be looked at: nothing is replaced. */
  readonly to?: string;
  /** Its replica set gets the members of the site file, and this identity (24 hex digits). Absent: it stays the set that it was. */
  readonly newSet?: string;
}

/** What is stopped to be restored, and compared afterwards. */
export interface PlanRestored {
  readonly database: string;
  /** Empty: a tree of files. */
  readonly members: readonly (PlanService & { readonly name: string; readonly host: HostName })[];
  /** Of the set, as its manifest has it. null: nobody could be asked at the backup, or a tree of files. */
  readonly fingerprint: Readonly<Record<string, unknown>> | null;
  /** Absent: no sharded cluster. */
  readonly cluster?: PlanCluster;
  /** Only this member is replaced, while its set goes on. Absent: all of them. */
  readonly rejoins?: PlanRejoin;
}

/** One member gets a copy of its set, and catches up with the others by the oplog. */
export interface PlanRejoin {
  readonly member: string;
  /** Of the replica set, as the copy has it. */
  readonly setId: string | null;
  readonly version: string;
  /** The copy ends there, or after it. */
  readonly point: Optime;
  /** Those of its set that the site file names: who is asked. */
  readonly others: readonly { readonly name: string; readonly host: HostName }[];
}

/** Of a sharded cluster that is restored: as the manifest has it, and how it is stopped and started. */
export interface PlanCluster {
  /** Who reaches mongos, and puts the balancer's settings back. */
  readonly mongosHost: HostName;
  /** Every mongos: stopped before all members, started after them. */
  readonly routers: readonly PlanService[];
  readonly sets: readonly {
    readonly set: string;
    readonly role: 'shard' | 'config';
    readonly members: readonly string[];
    readonly fingerprint: PlanRestored['fingerprint'];
  }[];
  /** config.shards. */
  readonly shards: readonly Readonly<Record<string, unknown>>[];
  /** The settings documents of the balancer as the night had found them, by their id; null: there was none. */
  readonly balancer: Readonly<Record<string, unknown>> | null;
}

export type PlanDatabase = PlanMongodb | PlanFiles;

/** Who writes to a database: all of them stopped earlier, and held until its copy is done. */
export interface PlanWriters {
  readonly usedBy: readonly { readonly service: string; readonly hosts: readonly HostName[] }[];
}

export interface PlanMongodb extends PlanWriters {
  readonly engine: 'mongodb';
  readonly database: string;
  readonly from: 'primary' | 'secondary';
  /** Of the host that reaches mongos; null for a replica set or a standalone server. */
  readonly mongosHost: HostName | null;
  /** In the order of the site file. */
  readonly members: readonly (PlanService & { readonly name: string; readonly host: HostName })[];
  readonly allowSetDown: boolean;
  /** Copied on the host, started again, archived after. Absent: archived while stopped. */
  readonly copyBy?: CopyWay | 'auto';
  /** Absent: taken. */
  readonly fingerprint?: 'none';
}

export interface PlanFiles extends PlanWriters {
  readonly engine: 'files';
  readonly database: string;
  readonly host: HostName;
  /** As of MongoDB. */
  readonly copyBy?: CopyWay | 'auto';
}

/** The backup steps, in whatever branch. */
export function backupsOf(steps: readonly PlanStep[]): readonly PlanBackup[] {
  return steps.flatMap((step) => {
    if (step.kind === 'parallel') return step.branches.flatMap((branch) => backupsOf(branch.steps));
    return step.kind === 'backup' ? [step] : [];
  });
}

/** What is restored, in whatever branch. */
export function restoredBy(steps: readonly PlanStep[]): readonly PlanUnpack[] {
  return steps.flatMap((step) => (step.kind === 'unpack' ? [step] : []));
}

/** What is replaced, in whatever branch. */
export function replacedBy(steps: readonly PlanStep[]): readonly PlanReplace[] {
  return steps.flatMap((step) => (step.kind === 'replace' ? [step] : []));
}

/** Each step that writes to it goes on without it, while there is another store. */
export function mayBeLeftOut(steps: readonly PlanStep[], store: string): boolean {
  return backupsOf(steps)
    .filter(({ to }) => to.includes(store))
    .every(({ needs }) => needs === 'any');
}

/**
 * Where artifacts of a store may be made, or are read: an election can move the member that is copied to another host.
 */
export function copyingHosts(steps: readonly PlanStep[], store: string): readonly HostName[] {
  const databases = backupsOf(steps)
    .filter(({ to }) => to.includes(store))
    .flatMap((step) => step.databases);
  const hosts = databases.flatMap((database) =>
    database.engine === 'files' ? [database.host] : database.members.map(({ host }) => host),
  );
  const restoring = restoredBy(steps)
    .filter((step) => step.store === store)
    .flatMap(({ targets }) => targets.map(({ host }) => host));
  return [...new Set([...hosts, ...restoring])].sort();
}
