import type { Instant } from './plan.ts';
import type { HostName } from './site.ts';
import type { Optime } from './ledger.ts';
import type { DecisionRecord } from './progress.ts';

/** Where a set lies: `<store>/<site>/<procedure>/<set id>/`. */
export interface SetRef {
  readonly site: string;
  readonly procedure: string;
  /** `<night>T<HHMMSS>Z-<8 of the run id>`: sorts by time. */
  readonly id: string;
}

/** One file in a set: an archive, sealed without overwriting. */
export interface Artifact {
  /** `vitam-mongo/mongo-1_27018.tar.zst`; unique in the set. */
  readonly name: string;
  readonly store: string;
  readonly host: HostName;
  readonly database: string;
  /** Of the stored file, compressed. */
  readonly sizeBytes: number;
  readonly sha256: string;
  /** Of the files inside, together. */
  readonly contentBytes: number;
  readonly files: number;
  /** Beside the artifact: one line a file in the form of sha256sum. */
  readonly fileList: { readonly name: string; readonly sha256: string; readonly sizeBytes: number };
  /** Archive and list, to these public keys: sizes and digests are of what is stored. Absent: they are not encrypted. */
  readonly encrypted?: { readonly age: readonly string[] };
  readonly startedAt: Instant;
  readonly endedAt: Instant;
  /** Sockets, FIFOs, devices and excluded paths: listed, never opened. */
  readonly leftOut: readonly string[];
  /** Of the host that it was taken on. Absent: an earlier version made it. */
  readonly machine?: Machine;
  /** Of each root, by its path: `998:998`. Absent: an earlier version made it. */
  readonly owners?: Readonly<Record<string, string>>;
}

export interface Machine {
  /** As `uname -m` says it. */
  readonly arch: string;
  readonly byteOrder: 'little-endian' | 'big-endian';
}

/** What became of one read that goes to several stores. */
export interface Copies {
  readonly artifacts: readonly Artifact[];
  readonly failed: readonly StoreFailure[];
}

export interface StoreFailure {
  readonly store: string;
  readonly why: string;
}

/** What is in a set; published last. No manifest, no set. */
export interface Manifest {
  readonly format: 1;
  readonly coldbackup: string;
  readonly set: SetRef;
  readonly night: string;
  readonly workflowId: string;
  readonly runId: string;
  readonly siteDigest: string;
  readonly startedAt: Instant;
  readonly publishedAt: Instant;
  /** false: an operator skipped a backup; what is there is whole, but something is missing. */
  readonly complete: boolean;
  readonly artifacts: readonly Artifact[];
  readonly databases: readonly DatabaseRecord[];
  readonly steps: readonly StepRecord[];
  readonly decisions: readonly DecisionRecord[];
  readonly warnings: readonly string[];
}

export type DatabaseRecord = { readonly engine: 'files'; readonly database: string } | MongodbRecord;

export interface MongodbRecord {
  readonly engine: 'mongodb';
  readonly database: string;
  readonly topology: 'sharded' | 'replica-set' | 'standalone';
  /** config.shards as read through mongos; null where there is none. */
  readonly shards: readonly Readonly<Record<string, unknown>>[] | null;
  readonly balancer: Readonly<Record<string, unknown>> | null;
  readonly sets: readonly MongodbSetRecord[];
}

export interface MongodbSetRecord {
  readonly set: string;
  readonly role: 'shard' | 'config' | 'replica-set' | 'standalone';
  readonly member: string;
  readonly artifact: string;
  /** The set's point: every artifact holds all up to it. null for a standalone server. */
  readonly marker: Optime | null;
  readonly version: string;
  /** That the mongod was built for, by itself. Absent: an earlier version made the set. */
  readonly arch?: string;
  readonly fcv: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly replicaSetConfig: Readonly<Record<string, unknown>> | null;
  readonly shardIdentity: Readonly<Record<string, unknown>> | null;
  readonly fingerprint: Readonly<Record<string, unknown>> | null;
  /** Read of the copy on the host of the member, once it was archived. Absent: of another member of the set. */
  readonly fingerprintOf?: 'copy';
}

export interface StepRecord {
  readonly id: string;
  readonly label: string;
  readonly outcome: 'done' | 'failed' | 'skipped' | 'gave-up' | 'not-reached';
  readonly startedAt: Instant | null;
  readonly endedAt: Instant | null;
  readonly detail?: string;
}

/** Beside the manifest of a set that retention must not touch. */
export interface Pin {
  readonly by: string;
  readonly why: string;
  readonly at: Instant;
}

/** Who reads a set, which retention then leaves alone: a restore, a drill, a verification. */
export interface SetUse {
  /** For people: `drill`. */
  readonly what: string;
  readonly workflowId: string;
  readonly runId: string;
  /** Then it counts no longer: one that was killed takes nothing back. */
  readonly until: Instant;
}

/** One row of `coldbackup sets`. */
export interface SetSummary {
  readonly set: SetRef;
  readonly store: string;
  /** Of the manifest; 0: it cannot be read. Of another than 1 nothing else is known: `publishedAt` is empty. */
  readonly format: number;
  /** Why its manifest cannot be read; absent: it can. */
  readonly unreadable?: string;
  readonly night: string;
  readonly publishedAt: Instant;
  readonly sizeBytes: number;
  readonly artifacts: number;
  readonly complete: boolean;
  /** Why, and by whom, it is pinned; absent: it is not. */
  readonly pinned?: string;
  /** Who reads it now, or did when an end of it could not be written. Absent: nobody, or an older agent. */
  readonly uses?: readonly SetUse[];
  /** What beside its manifest cannot be read. Absent: nothing. */
  readonly doubt?: string;
  /** Of its newest drill; absent: none, or an older agent. */
  readonly proof?: { readonly at: Instant; readonly passed: boolean };
  /** When it was read again last; absent: never, or an older agent. `mended`: parts of it came from another store then. */
  readonly verified?: { readonly at: Instant; readonly passed: boolean; readonly mended: boolean };
}

/** What was found when a set was read again, by all hosts together. Beside the manifest: the newest alone. */
export interface VerificationRecord {
  readonly at: Instant;
  readonly checkedBytes: number;
  /** Empty: every digest is right. */
  readonly problems: readonly string[];
  /** What was damaged until then, and from which store it was replaced. */
  readonly mended: readonly string[];
}

/** What a drill found: the set was restored into scratch instances and compared. Beside the manifest, the newest first. */
export interface Proof {
  readonly at: Instant;
  readonly endedAt: Instant;
  readonly passed: boolean;
  readonly coldbackup: string;
  readonly workflowId: string;
  readonly runId: string;
  readonly artifacts: readonly ArtifactProof[];
  readonly checks: readonly CheckProof[];
  /** Empty: it passed. */
  readonly problems: readonly string[];
  /** What could not be compared, and why. */
  readonly notCompared: readonly string[];
}

export interface ArtifactProof {
  readonly artifact: string;
  readonly database: string;
  readonly host: HostName;
  readonly contentBytes: number;
  readonly files: number;
  /** Of the server that opened it; null: a tree of files. */
  readonly server: string | null;
  /** Unpacking and opening together is what a restore takes at least. */
  readonly tookMs: { readonly unpack: number; readonly open: number; readonly compare: number };
}

export interface CheckProof {
  /** As the site file asks. */
  readonly what: string;
  readonly passed: boolean;
  /** `found 12`, `found 3, of which 2 have it`. */
  readonly found: string;
}

export interface Verification {
  readonly set: SetRef;
  readonly store: string;
  readonly checkedBytes: number;
  /** Those checked. */
  readonly artifacts: number;
  /** Encrypted, and this host has no identity: only the bytes as stored were checked. Absent: none. */
  readonly storedOnly?: readonly string[];
  /** Hosts that hold the others, where the store is not shared: each must verify its own. */
  readonly elsewhere: readonly HostName[];
  /** Empty: every digest is right. */
  readonly problems: readonly string[];
  /** What was damaged before, and from which store it was replaced; absent: nothing. */
  readonly mended?: readonly string[];
}

/** As it would be in another store that has the very same artifacts. */
export function inStore(manifest: Manifest, from: string, to: string): Manifest {
  const artifacts = manifest.artifacts.filter(({ store }) => store === from);
  return { ...manifest, artifacts: artifacts.map((artifact) => ({ ...artifact, store: to })) };
}

/** Of the member whose copy an artifact is; null: it is a tree of files. */
export function memberRecord(
  manifest: Pick<Manifest, 'databases'>,
  { database, artifact }: { readonly database: string; readonly artifact: string },
): MongodbSetRecord | null {
  return mongodbRecord(manifest, database)?.sets.find((one) => one.artifact === artifact) ?? null;
}

export function mongodbRecord(
  { databases }: Pick<Manifest, 'databases'>,
  database: string,
): MongodbRecord | undefined {
  return databases.find((one): one is MongodbRecord => one.engine === 'mongodb' && one.database === database);
}
