/**
 * The parsed site file, as every side shares it: `config/` makes it from YAML, agents look names up in it, and the
 * plan is resolved from it. Durations are milliseconds (`…Ms`), clock times are `HH:MM` in the site's time zone.
 */
export interface Site {
  readonly site: string;
  /** IANA name, known to exist. */
  readonly timezone: string;
  readonly hosts: readonly HostName[];
  readonly services: Readonly<Record<string, Service>>;
  readonly jobs: Readonly<Record<string, Job>>;
  readonly counts: Readonly<Record<string, Count>>;
  readonly databases: Readonly<Record<string, Database>>;
  readonly stores: Readonly<Record<string, Store>>;
  readonly procedures: Readonly<Record<string, Procedure>>;
  readonly limits: Limits;
  readonly drill?: Drill;
  /** Absolute: an existing folder, below which sets may be unpacked to be looked at. Absent: nowhere. */
  readonly restoreTo?: string;
}

/** Where and how sets are restored to prove them. */
export interface Drill {
  /** Absent: the store's keeper; of a store that is not shared, each host that holds a part. */
  readonly host?: HostName;
  /** Absolute: an existing folder; all that a drill writes lies below it. */
  readonly scratch: string;
  /** How mongod is run, of the version that wrote the sets. */
  readonly mongod?: Argv;
  /** Of a scratch server; the kernel gives it no more. */
  readonly memoryBytes: number;
  /** What a drill may write; absent: twice what it needs by the manifest. */
  readonly diskBytes?: number;
  /** What stays free below `scratch`; absent: a twentieth of the file system, at most 10 GB. */
  readonly leaveFreeBytes?: number;
  readonly checks: readonly DrillCheck[];
}

/** A question to a MongoDB database that was restored, with the answer that is expected. */
export interface DrillCheck {
  readonly database: string;
  readonly db: string;
  readonly collection: string;
  /** Extended JSON; absent: every document. */
  readonly filter?: Readonly<Record<string, unknown>>;
  readonly expect:
    | { readonly kind: 'count'; readonly count: number }
    | { readonly kind: 'at-least'; readonly count: number }
    /** At least one document is found, and each has this value there. */
    | { readonly kind: 'field'; readonly field: string; readonly is: string | number | boolean };
}

/** How long something may stay down when nobody decides; what each agent keeps to by itself. */
export interface Limits {
  /** So long after up-by an agent brings its host back alone. */
  readonly graceMs: number;
  /** From the claim of a host: nothing, no extension either, moves the agent's own instant beyond it. */
  readonly longestDownMs: number;
  /** So long after up-by the run stops trying to bring back; the journals keep the rest. */
  readonly giveUpAfterMs: number;
}

export type HostName = string;
/** An argument array, never a shell string. */
export type Argv = readonly [string, ...string[]];
/** `HH:MM` or `HH:MM:SS`, local to the site. */
export type ClockTime = string;
/** Resolved on the host that uses it; never enters an input, a result, a heartbeat, a log or an error. */
export type SecretRef = { readonly file: string } | { readonly env: string };

export interface Service {
  readonly hosts: readonly [HostName, ...HostName[]];
  readonly driver: DriverSpec;
  /** Longest time from the stop command until every process is gone. */
  readonly stopWithinMs: number;
  /** Absent: the driver's own word (systemd: active; command: status 0). */
  readonly ready?: Readiness;
  /** Longest time from the start command until ready. */
  readonly readyWithinMs: number;
  readonly normally: 'running' | 'stopped';
  /** Where it keeps state, absolute, on each of its hosts: a plan names what no database of its steps covers. */
  readonly data?: readonly string[];
}

export type DriverSpec =
  | { readonly kind: 'systemd'; readonly unit: string; readonly manager: 'system' | 'user' }
  | {
      readonly kind: 'command';
      readonly start: Argv;
      readonly stop: Argv;
      /** Exit codes as LSB init scripts give them: 0 running; 1, 2 failed (dead, its pid or lock file left); 3 stopped; else unknown. */
      readonly status: Argv;
      /** Prints an opaque id that changes with every start; stays readable while stopped. */
      readonly instance?: Argv;
      /** Prints the exit status of the last run as an integer. */
      readonly lastExit?: Argv;
      /** Start prevention; `letGo` lifts it. Both idempotent. */
      readonly holdDown?: Argv;
      readonly letGo?: Argv;
    };

export type Readiness =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'http'; readonly url: string; readonly status?: number }
  | { readonly kind: 'command'; readonly command: Argv };

export interface Job {
  readonly host: HostName;
  readonly source:
    | { readonly kind: 'systemd'; readonly unit: string; readonly manager: 'system' | 'user' }
    /** Prints one JSON object: `{ "began": instant|null, "ended": instant|null, "ok": boolean|null }`. */
    | { readonly kind: 'command'; readonly status: Argv };
}

export interface Count {
  readonly host: HostName;
  readonly source:
    | { readonly kind: 'http'; readonly url: string; readonly pointer: string }
    /** Prints one integer. */
    | { readonly kind: 'command'; readonly command: Argv };
}

export interface Database {
  /** Every service that writes to it. */
  readonly usedBy: readonly string[];
  /** Level of zstd. Absent: that of its engine. */
  readonly compress?: number;
  readonly engine: MongodbEngine | FilesEngine;
}

/** A copy that is made on the host of data at rest, so that what was stopped for it starts before anything is archived. */
export type CopyWay = 'reflink' | 'btrfs' | 'copy';

export interface MongodbEngine {
  readonly kind: 'mongodb';
  /** auto: the best that preflight finds possible on each host. Absent: archived while stopped (`stream`). */
  readonly copyBy?: CopyWay | 'auto';
  /** Absent for a replica set or a standalone server. */
  readonly mongos?: { readonly host: HostName; readonly uri: SecretRef };
  /** Every mongos of the cluster, as services: a restore stops them. Absent: not known, and nothing is restored. */
  readonly routers?: readonly string[];
  /** Keyed as the cluster calls the member: `host:port`. */
  readonly members: Readonly<Record<string, MongodbMember>>;
  readonly allow: readonly 'set-down'[];
  /** Absent: taken on another member than the one that is stopped, or of its copy where there is no other. */
  readonly fingerprint?: 'none';
  /** How mongod is run, of the version of the members: what a restore opens a copy with. Absent: that of drills. */
  readonly mongod?: Argv;
}

export interface MongodbMember {
  readonly host: HostName;
  readonly service: string;
  /** dbPath, absolute. */
  readonly data: string;
  /** Where copies of it are made, absolute; absent: beside `data`. A plain copy is made only where this is named. */
  readonly copies?: string;
  readonly uri: SecretRef;
  /** Of a sharded cluster. Absent: only the cluster, or a set that was taken of it, knows. */
  readonly replicaSet?: string;
}

export interface FilesEngine {
  readonly kind: 'files';
  readonly host: HostName;
  /** Absolute directories or files. */
  readonly roots: readonly [string, ...string[]];
  /** GNU tar exclude patterns, relative to a root. */
  readonly exclude: readonly string[];
  /** As of MongoDB. Absent: archived before its writers are started again. */
  readonly copyBy?: CopyWay | 'auto';
  /** Where copies of it are made, absolute; absent: beside the first root. A plain copy is made only where this is named. */
  readonly copies?: string;
}

export type Store = DirectoryStore | SftpStore | S3Store | ResticStore;

interface StoreBase {
  /** true: every host sees the same files. false: each host has its own disk and holds its own artifacts. */
  readonly shared: boolean;
  readonly keeper: HostName;
  /** To it and from it, of each host. Absent: as fast as it goes. */
  readonly rateBytesPerSecond?: number;
  /** What the sets of this site may take, as a host sees them. Absent: all the room there is. */
  readonly quotaBytes?: number;
  /** Absent: what is stored is not encrypted. */
  readonly encrypt?: Encryption;
}

/** With age, https://age-encryption.org */
export interface Encryption {
  /** Public keys: whoever has the other half of one can read it. */
  readonly recipients: readonly [string, ...string[]];
  /** The other half, on those hosts alone that read sets again: absolute. */
  readonly identity?: string;
}

export interface DirectoryStore extends StoreBase {
  readonly kind: 'directory';
  /** Absolute; one for all hosts, or one per host where the mount points differ. */
  readonly directory: string | Readonly<Record<HostName, string>>;
}

export interface SftpStore extends StoreBase {
  readonly kind: 'sftp';
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** A private key without a passphrase. */
  readonly key: SecretRef;
  /** `ssh-ed25519 AAAA…`: no other server is talked to. */
  readonly hostKey: string;
  /** On the server; absolute. */
  readonly directory: string;
}

export interface S3Store extends StoreBase {
  readonly kind: 's3';
  /** `https://s3.example.org` */
  readonly endpoint: string;
  readonly bucket: string;
  readonly region: string;
  /** Before every name, ends with a slash; empty: none. */
  readonly prefix: string;
  readonly accessKey: SecretRef;
  readonly secretKey: SecretRef;
  /** The bucket is named in the path, not in the name of the host. */
  readonly pathStyle: boolean;
  /** Nobody removes what was written before so many days are over; the bucket must have object lock. */
  readonly objectLock?: { readonly mode: 'governance' | 'compliance'; readonly days: number };
}

export interface ResticStore extends StoreBase {
  readonly kind: 'restic';
  /** An absolute path, or as `restic -r` takes it. It exists. */
  readonly repository: string;
  readonly password: SecretRef;
  /** What the way to the repository needs, by the name that restic reads it from. */
  readonly environment: Readonly<Record<string, SecretRef>>;
  /** An absolute folder on each host; absent: nothing of the repository is kept on the hosts. */
  readonly cache?: string;
}

export interface Procedure {
  readonly start?: Start;
  /** When bringing back begins. */
  readonly restart: { readonly kind: 'at'; readonly at: ClockTime } | { readonly kind: 'when-done' };
  readonly upBy: ClockTime;
  readonly steps: readonly Step[];
  /** What a step that fails does, unless the step says otherwise. */
  readonly onFailure: OnFailure;
  /** What a run does that finds a host held by another one, before anything is stopped. */
  readonly whenHeld: 'refuse' | 'wait';
  /** In every store. */
  readonly keep?: Retention;
  /** Instead: of each store; in one that is not named nothing goes. */
  readonly keepIn?: Readonly<Record<string, Retention>>;
  /** The newest proof of a set must not be older. */
  readonly proveEveryMs?: number;
  /** When the newest set is restored to prove it, see `Site.drill`. */
  readonly drill?: Start;
  /** When sets are read again that were not for `everyMs`: a part each time. */
  readonly verify?: Start & { readonly everyMs: number };
}

export interface Start {
  readonly days: readonly Weekday[];
  readonly at: ClockTime;
  /** The latest start; absent: one hour after `at`. */
  readonly notAfter?: ClockTime;
  /** Local dates, `YYYY-MM-DD`, on which no night starts. */
  readonly notOn?: readonly string[];
  /** A scheduled run that fails pauses the schedule. Absent: false. */
  readonly pauseOnFailure?: boolean;
}

export type Weekday = 'mon' | 'tue' | 'wed' | 'thu' | 'fri' | 'sat' | 'sun';

export interface Retention {
  readonly last?: number;
  readonly hourly?: number;
  readonly daily?: number;
  readonly weekly?: number;
  readonly monthly?: number;
  readonly yearly?: number;
  readonly withinDays?: number;
}

/** fail: all is brought back. ask: an operator decides (retry, skip, fail), until bringing back has to begin. */
export type OnFailure = 'fail' | 'ask';

export type Step = (StopStep | WaitStep | ParallelStep | BackupStep) & { readonly onFailure?: OnFailure };

/** One after the other, each gone before the next; a service on several hosts is stopped on all of them at once. */
export interface StopStep {
  readonly kind: 'stop';
  readonly services: readonly string[];
}

export interface WaitStep {
  readonly kind: 'wait';
  readonly for:
    | { readonly kind: 'clock'; readonly at: ClockTime }
    | { readonly kind: 'job'; readonly job: string; readonly beganAfter: ClockTime }
    | { readonly kind: 'count'; readonly count: string; readonly reaches: number };
  /** Absent only for a clock time. */
  readonly until?: ClockTime;
  readonly otherwise: WaitEnd | Ask;
}

export type WaitEnd = 'fail' | 'continue';

/** A question to the operators: nobody's sleep decides about the morning, so it has an end and an answer of its own. */
export interface Ask {
  readonly ask: string;
  readonly by: ClockTime;
  readonly else: WaitEnd;
}

export interface ParallelStep {
  readonly kind: 'parallel';
  readonly branches: Readonly<Record<string, readonly Step[]>>;
}

export interface BackupStep {
  readonly kind: 'backup';
  readonly databases: readonly string[];
  readonly method: 'cold';
  /** MongoDB: which member of each set is stopped and copied. */
  readonly from: 'primary' | 'secondary';
  readonly to: readonly string[];
  /** Of several stores: whether the set must be in all of them, or in any. Absent: all. */
  readonly needs?: 'all' | 'any';
}
