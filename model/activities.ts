import type {
  ChangeRequest,
  ChangeResult,
  ClaimRequest,
  ClaimResult,
  Entry,
  Optime,
  Ref,
  TakeOverInput,
  TakeOverResult,
  UndoResult,
} from './ledger.ts';
import type {
  Artifact,
  Copies,
  DatabaseRecord,
  Manifest,
  MongodbSetRecord,
  Pin,
  Proof,
  SetRef,
  SetSummary,
  SetUse,
  Verification,
  VerificationRecord,
} from './manifest.ts';
import type { Instant, Plan, PlanRejoin } from './plan.ts';
import type { Check, Report } from './progress.ts';
import type { Verdict } from './retention.ts';
import type { CopyWay, DrillCheck, HostName, Retention } from './site.ts';

/**
 * What the workflows ask of the outside, by name only. Control's activities run on queue `coldbackup`, an agent's on
 * `coldbackup/<site>/<host>`. Names and inputs of takeOver, undoChange and release never change: any later version
 * must understand an earlier run.
 */
export interface ControlActivities {
  /** Fails for good with the list of known names when site or procedure is unknown. */
  resolvePlan(input: ResolveInput): Promise<ResolvedPlan>;
  /** Fails for good where the set and the site file do not fit. */
  resolveRestore(input: RestoreRequest): Promise<ResolvedPlan>;
  listSites(): Promise<readonly SiteInfo[]>;
  writeReport(report: Report): Promise<void>;
}

export interface ResolveInput {
  readonly site: string;
  readonly procedure: string;
  /** Of the schedule when it has one, else of the run. */
  readonly startedAt: Instant;
  /** Given by hand for a run outside its window: a clock time or an instant. */
  readonly upBy?: string;
  /** Only to be looked at: outside the window, the next one is taken. */
  readonly preview?: boolean;
}

export interface RestoreRequest {
  readonly site: string;
  readonly startedAt: Instant;
  /** By when all must be up: a clock time or an instant. Absent: as long as limits.longest-down allows. */
  readonly upBy?: string;
  readonly store: string;
  readonly manifest: Pick<Manifest, 'set' | 'complete' | 'publishedAt' | 'artifacts' | 'databases'>;
  /** Absent: all that is in the set. */
  readonly database?: string;
  /** Of MongoDB; absent: all. */
  readonly member?: string;
  /** A folder below restore-to: unpacked there to be looked at. Absent: put in the place of the data. */
  readonly to?: string;
  /** Of `to`; absent: the keeper, or whoever holds the artifact where the store is not shared. */
  readonly host?: HostName;
}

export interface ResolvedPlan {
  readonly plan: Plan;
  /** Typed search attributes that this namespace has registered; others are never upserted. */
  readonly searchAttributes: readonly string[];
}

export interface SiteInfo {
  readonly site: string;
  readonly file: string;
  readonly digest: string;
  readonly timezone: string;
  readonly hosts: readonly HostName[];
  readonly procedures: readonly string[];
  readonly stores: Readonly<Record<string, StoreInfo>>;
  /** Where sets are restored to prove them; absent: nowhere. */
  readonly drill?: { readonly host: HostName | null };
}

export interface StoreInfo {
  readonly keeper: HostName;
  readonly shared: boolean;
  /** Besides the keeper: who may hold artifacts of its own, where the store is not shared. */
  readonly others: readonly HostName[];
}

export interface AgentActivities
  extends
    LedgerActivities,
    PreflightActivities,
    WaitActivities,
    CopyActivities,
    StoreActivities,
    DrillActivities,
    MongodbActivities {}

export interface LedgerActivities {
  claim(request: ClaimRequest): Promise<ClaimResult>;
  applyChange(request: ChangeRequest): Promise<ChangeResult>;
  /** From now on this scope takes no change; returns what is still open in it. */
  sealScope(input: { readonly ref: Ref; readonly scope: string }): Promise<readonly Entry[]>;
  /** Raises the epoch, ends or awaits what is in flight, returns what is open. */
  takeOver(input: TakeOverInput): Promise<TakeOverResult>;
  undoChange(input: { readonly ref: Ref; readonly id: string }): Promise<UndoResult>;
  /**
   * From now on what was put in the place of data under `scope` stays there: undo does not move it back. One line of the
   * journal for all of it: after a crash all of this host is committed, or nothing.
   */
  commit(input: { readonly ref: Ref; readonly scope: string }): Promise<void>;
  /** Closes an empty journal; refuses one that is not empty. */
  release(input: { readonly ref: Ref }): Promise<void>;
  /** Fails unless each of these services has been held stopped, in this epoch, since its stop. */
  attest(input: { readonly ref: Ref; readonly services: readonly string[] }): Promise<void>;
  /**
   * Moves up-by later, and with it the instant at which this agent brings back alone; it counts once this has answered.
   * Refused as `TooLate` beyond longest-down of the agent's own site file. Never moves it earlier: gives what holds.
   */
  extend(input: ExtendInput): Promise<{ readonly upBy: Instant }>;
  readLedger(input: { readonly site: string; readonly host: HostName }): Promise<LedgerView>;
  /** Until no other workflow holds the host. */
  waitUntilFree(input: {
    readonly site: string;
    readonly host: HostName;
    readonly workflowId: string;
    readonly until: Instant;
  }): Promise<WaitResult>;
}

export interface ExtendInput {
  readonly ref: Ref;
  readonly upBy: Instant;
  readonly by: string;
  readonly why: string;
}

/** What is down on a host, and why; null: no run holds it. */
export interface LedgerView {
  readonly host: HostName;
  readonly held: {
    readonly journal: string;
    readonly epoch: number;
    readonly procedure: string;
    readonly workflowId: string;
    readonly night: string;
    /** As extended. */
    readonly upBy: Instant;
    readonly entries: readonly Entry[];
  } | null;
}

export interface PreflightActivities {
  preflight(input: PreflightInput): Promise<HostReport>;
  /** What is there now, whoever asks; changes nothing. */
  observeHost(input: { readonly site: string; readonly host: HostName }): Promise<HostSeen>;
  /** `shared` stores are proven shared: one agent writes a token, the others read it. */
  writeStoreToken(input: {
    readonly site: string;
    readonly store: string;
    readonly token: string;
  }): Promise<void>;
  readStoreToken(input: {
    readonly site: string;
    readonly store: string;
    readonly token: string;
  }): Promise<boolean>;
  removeStoreToken(input: {
    readonly site: string;
    readonly store: string;
    readonly token: string;
  }): Promise<void>;
}

/** The services and balancers of a host, as they are. */
export interface HostSeen {
  readonly host: HostName;
  /** By a run, before or after the look: what is down then is meant to be. */
  readonly held: boolean;
  readonly services: readonly {
    readonly service: string;
    readonly normally: 'running' | 'stopped';
    readonly state: 'running' | 'stopped' | 'starting' | 'stopping' | 'failed' | 'unknown';
    /** For people: the driver's own words. */
    readonly detail: string;
  }[];
  readonly balancers: readonly {
    readonly database: string;
    /** `full`, `off`; null: it could not be asked. */
    readonly mode: string | null;
    readonly error?: string;
  }[];
}

export interface PreflightInput {
  readonly host: HostName;
  /** null: only who is there (`coldbackup hosts`). */
  readonly plan: Plan | null;
  readonly workflowId: string;
}

export interface HostReport {
  readonly host: HostName;
  readonly version: string;
  readonly protocol: number;
  readonly siteDigest: string;
  /** The host's clock when it answered; compared with the run's. */
  readonly clock: Instant;
  readonly pid: number;
  readonly checks: readonly Check[];
  /** Of each service, how long it took to be up again: the longest of the last nights; absent: an older agent. */
  readonly broughtBackMs?: Readonly<Record<string, number>>;
  /** How data is taken here, by `<database>[/<member>]`: found once, kept for the run. */
  readonly copyBy?: Readonly<Record<string, CopyWay | 'stream'>>;
}

export interface WaitActivities {
  /** Ends when the job began after the instant and ended well; fails for good as soon as it ended badly. */
  waitForJob(input: {
    readonly site: string;
    readonly job: string;
    readonly beganAfter: Instant;
    readonly until: Instant;
  }): Promise<WaitResult>;
  waitForCount(input: {
    readonly site: string;
    readonly count: string;
    readonly reaches: number;
    readonly until: Instant;
  }): Promise<WaitResult>;
}

export interface WaitResult {
  readonly outcome: 'reached' | 'out-of-time';
  /** The last thing seen, for people: `3`, `running since 00:00`. */
  readonly last: string;
}

/** What a copy reads. */
export type CopySource =
  | { readonly kind: 'files'; readonly database: string }
  | { readonly kind: 'mongodb-member'; readonly database: string; readonly member: string }
  /** What an earlier change of this journal has made: where it is, the journal says. */
  | {
      readonly kind: 'snapshot';
      readonly database: string;
      /** Absent: of a tree of files. */
      readonly member?: string;
      readonly change: string;
    };

export interface CopyActivities {
  /** A job of the host keyed by id: an attempt attaches to the running one, a finished one gives its recorded result. */
  copy(input: CopyInput): Promise<Artifact>;
  /**
   * As `copy`, from one read into several stores; the slowest sets the pace. With `any` a store that fails is left out
   * and named, while there is another one; with `all` it ends the copy.
   */
  copyToStores(input: CopyToStoresInput): Promise<Copies>;
  /**
   * What the copy of a member on its host holds. A server opens the copy itself, for the one time: it is archived before, and from
   * then on no more. A job of the host too; it ends with the scope of the copy.
   */
  fingerprintCopy(input: FingerprintCopyInput): Promise<Readonly<Record<string, unknown>>>;
}

export interface FingerprintCopyInput extends Pick<MongodbSetRecord, 'version' | 'marker'> {
  readonly ref: Ref;
  readonly database: string;
  readonly member: string;
  /** That made the copy. */
  readonly change: string;
}

export interface CopyInput {
  readonly ref: Ref;
  readonly id: string;
  /** Sealing the scope ends the copy with it. */
  readonly position: string;
  readonly set: SetRef;
  readonly store: string;
  readonly artifact: string;
  readonly source: CopySource;
}

export interface CopyToStoresInput extends Omit<CopyInput, 'store'> {
  readonly stores: readonly string[];
  readonly needs: 'all' | 'any';
}

/** Heartbeat details of a running copy. */
export interface CopyProgress {
  readonly artifact: string;
  readonly readBytes: number;
  readonly writtenBytes: number;
  readonly totalBytes: number | null;
  readonly bytesPerSecond: number;
}

/** On the keeper of a store. */
export interface StoreActivities {
  /**
   * Every artifact is there with its size, then SHA256SUMS, then the manifest, last; refuses to overwrite another one.
   * Of a store that is not shared each host publishes its own part, the keeper last: its manifest makes the set.
   */
  publishSet(input: {
    readonly site: string;
    readonly store: string;
    readonly manifest: Manifest;
  }): Promise<SetSummary>;
  listSets(input: {
    readonly site: string;
    readonly store: string;
    readonly procedure?: string;
  }): Promise<readonly SetSummary[]>;
  showSet(input: { readonly site: string; readonly store: string; readonly set: SetRef }): Promise<Manifest>;
  /** Reads everything again that this host can see of the set. */
  verifySet(input: {
    readonly site: string;
    readonly store: string;
    readonly set: SetRef;
    readonly manifest: Manifest;
  }): Promise<Verification>;
  /**
   * Applies the retention of the plan; returns what was removed. Partial sets of ended runs are cleared after a day.
   * With `removed` it removes just these: on the other hosts of a store that is not shared, what its keeper removed. `has`:
   * what the keeper has then; what retention lets go, or was never published, and is not among them is nothing there.
   */
  pruneSets(input: {
    readonly plan: Pick<Plan, 'site' | 'procedure' | 'keep'>;
    readonly store: string;
    readonly now: Instant;
    readonly removed?: readonly SetRef[];
    readonly has?: readonly SetRef[];
    /** A set that must be there: else nothing is removed, as others may be hidden as well. */
    readonly published?: SetRef;
  }): Promise<readonly SetRef[]>;
  /** What the retention of this host's own site file makes of each procedure's sets; removes nothing. */
  explainSets(input: {
    readonly site: string;
    readonly store: string;
    readonly procedure?: string;
    readonly now: Instant;
  }): Promise<readonly ExplainedSets[]>;
  /**
   * On the keeper: removes one set, whatever the rules of retention say. Gives why it stays, each reason with what to do;
   * none: it is gone. With `dryRun` it stays all the same.
   */
  removeSet(input: {
    readonly site: string;
    readonly store: string;
    readonly set: SetRef;
    readonly now: Instant;
    readonly dryRun: boolean;
  }): Promise<readonly string[]>;
  /** A pinned set is never removed; null: it is pinned no longer. */
  pinSet(input: {
    readonly site: string;
    readonly store: string;
    readonly set: SetRef;
    readonly pin: Pin | null;
  }): Promise<void>;
  /** A set in use is never removed, until then at the latest; null: this run reads it no longer. */
  useSet(input: {
    readonly site: string;
    readonly store: string;
    readonly set: SetRef;
    readonly use: Omit<SetUse, 'until'> & { readonly until: Instant | null };
  }): Promise<void>;
  /** Replaces what is damaged in the part that this host sees by the copies of other stores; says what, and from where. */
  mendSet(input: {
    readonly site: string;
    readonly store: string;
    readonly manifest: Manifest;
    readonly from: readonly { readonly store: string; readonly manifest: Manifest }[];
  }): Promise<readonly string[]>;
  /** On the keeper: what all hosts together found when they read the set again. */
  recordVerification(input: {
    readonly site: string;
    readonly store: string;
    readonly set: SetRef;
    readonly record: VerificationRecord;
  }): Promise<void>;
}

export interface ExplainedSets {
  readonly procedure: string;
  readonly keep: Retention | null;
  /** The newest first. */
  readonly verdicts: readonly Verdict<SetSummary>[];
  /** Why nothing of it is removed, whatever the rules say. */
  readonly doubt?: string;
  /** Folders without a manifest; absent: an older agent. */
  readonly remains?: readonly JudgedRemains[];
}

export interface JudgedRemains {
  readonly set: SetRef;
  readonly stays: boolean;
  readonly because: readonly string[];
}

export interface DrillActivities {
  /**
   * Restores what this host sees of the set into its scratch folder, one artifact after the other, and compares; the
   * folder is empty again whatever happens. Refused while a run holds the host, and given up when one claims it.
   */
  drillSet(input: { readonly site: string; readonly store: string; readonly set: SetRef }): Promise<Drilled>;
  /** On the keeper: the newest first, older ones are forgotten at some point. */
  recordProof(input: {
    readonly site: string;
    readonly store: string;
    readonly set: SetRef;
    readonly proof: Proof;
  }): Promise<void>;
  /** On the keeper. */
  readProofs(input: {
    readonly site: string;
    readonly store: string;
    readonly set: SetRef;
  }): Promise<readonly Proof[]>;
}

export type Drilled = Pick<Proof, 'artifacts' | 'problems' | 'notCompared'> & {
  /** One for each check of the site file: several hosts may hold parts of the answer. */
  readonly answers: readonly CheckAnswer[];
};

export interface CheckAnswer {
  readonly what: string;
  readonly expect: DrillCheck['expect'];
  readonly found: number;
  /** Of those found, with the value that is expected. */
  readonly equal: number;
}

/** Heartbeat details of a drill. */
export interface DrillProgress {
  readonly artifact: string;
  readonly phase: 'unpack' | 'open' | 'compare';
  readonly readBytes: number;
  readonly totalBytes: number;
}

/** MongoDB, on the host that the site file names for the member or for mongos. */
export interface MongodbActivities {
  /** Asked through mongos, or through any member of a replica set. Fails for good when file and cluster differ. */
  mongodbTopology(input: { readonly site: string; readonly database: string }): Promise<MongodbTopology>;
  /** Waits until nothing that a cold copy would cut in two is in flight; each thing is named when `until` passes. */
  mongodbGate(input: {
    readonly site: string;
    readonly database: string;
    readonly until: Instant;
  }): Promise<void>;
  /** Asked of one reachable member on its own host. */
  mongodbPrimary(input: {
    readonly site: string;
    readonly database: string;
    readonly member: string;
  }): Promise<{ readonly primary: string | null }>;
  /** The members of its set as this one sees them: those that have all that the set has, or all up to the marker, first. */
  mongodbNewestFirst(input: {
    readonly site: string;
    readonly database: string;
    readonly member: string;
    readonly marker: Optime | null;
  }): Promise<{ readonly members: readonly string[] }>;
  /** `appendOplogNote` with write concern majority, on the primary; not-primary is an answer, not an error. */
  mongodbMark(input: {
    readonly site: string;
    readonly database: string;
    readonly member: string;
    readonly note: string;
  }): Promise<{ readonly marker: Optime | null }>;
  /** Before the stop, for the manifest: options, version, FCV, replica set config, shard identity. */
  mongodbDescribe(input: {
    readonly site: string;
    readonly database: string;
    readonly member: string;
  }): Promise<MongodbMemberInfo>;
  /** Right before a stop that somebody waits for: a checkpoint, so that the stop has less to write. */
  mongodbFlush(input: {
    readonly site: string;
    readonly database: string;
    readonly member: string;
  }): Promise<{ readonly flushed: boolean }>;
  /** On a member that still runs: dbHash, UUIDs, options and indexes of user collections at or after the marker. */
  mongodbFingerprint(input: {
    readonly site: string;
    readonly database: string;
    readonly member: string;
    readonly marker: Optime | null;
  }): Promise<Readonly<Record<string, unknown>>>;
  /** On a member that still runs: entries after the marker that are neither no-ops nor internal. Any: no set. */
  mongodbWritesSince(input: {
    readonly site: string;
    readonly database: string;
    readonly member: string;
    readonly marker: Optime;
  }): Promise<readonly string[]>;
  /** Of the members on its host that go on: whether one of their set can be replaced by its copy now. */
  mongodbRejoin(input: {
    readonly site: string;
    readonly database: string;
    readonly rejoins: PlanRejoin;
  }): Promise<RejoinAnswer>;
  /** Of a member that runs, with a fingerprint from a manifest. */
  mongodbCompare(input: {
    readonly site: string;
    readonly database: string;
    readonly member: string;
    readonly fingerprint: Readonly<Record<string, unknown>> | null;
  }): Promise<MongodbComparison>;
}

export interface RejoinAnswer {
  /** Why it must not be replaced. */
  readonly problems: readonly string[];
  /** One that was asked is the primary: only what that says is sure. */
  readonly hasPrimary: boolean;
}

/** What a restored database holds, compared with what its set was when it was taken. */
export interface MongodbComparison {
  /** Empty: the same, as far as it could be compared. */
  readonly problems: readonly string[];
  /** Why it could not be compared; null: it was. */
  readonly notCompared: string | null;
}

export interface MongodbTopology {
  readonly topology: 'sharded' | 'replica-set' | 'standalone';
  readonly sets: readonly {
    /** Replica set name; of a standalone server its member name. */
    readonly set: string;
    readonly role: 'shard' | 'config' | 'replica-set' | 'standalone';
    readonly members: readonly string[];
    readonly primary: string | null;
  }[];
  readonly shards: readonly Readonly<Record<string, unknown>>[] | null;
  readonly balancer: Readonly<Record<string, unknown>> | null;
}

export type MongodbMemberInfo = Pick<
  MongodbSetRecord,
  'version' | 'arch' | 'fcv' | 'options' | 'replicaSetConfig' | 'shardIdentity'
>;

export type { DatabaseRecord };
