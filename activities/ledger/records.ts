import type { Change, ChangeResult, ClaimRequest, Entry, Found } from '../../model/ledger.ts';
import type { Artifact, Copies } from '../../model/manifest.ts';
import type { Instant } from '../../model/plan.ts';
import type { Service } from '../../model/site.ts';
import type { CopyPlace } from '../copies/place.ts';
import type { RestorePlace } from '../restore/place.ts';

/** A line of the journal. Lines are only ever added, and each is on the disk before what it announces is done. */
export type JournalRecord =
  | ({ readonly r: 'claim' } & Claim)
  /** An adoption by a new run of the same workflow id, or a takeover. */
  | {
      readonly r: 'epoch';
      readonly epoch: number;
      readonly by: string;
      readonly why: string;
      readonly runId?: string;
      readonly at: Instant;
    }
  | {
      readonly r: 'intent';
      readonly id: string;
      readonly position: string;
      readonly change: Change;
      readonly found: Found;
      readonly service: Service | null;
      /** Of a snapshot. */
      /** As written before trees of files were copied: with one `root`. */
      readonly place?: CopyPlace | (Omit<CopyPlace, 'roots'> & { readonly root: string });
      /** Of a restore. */
      readonly restore?: RestorePlace;
      readonly at: Instant;
    }
  /** What was put in the place of data stays there. */
  | { readonly r: 'commit'; readonly scope: string; readonly ids: readonly string[]; readonly at: Instant }
  | { readonly r: 'end'; readonly id: string; readonly result: ChangeResult; readonly at: Instant }
  | { readonly r: 'seal'; readonly scope: string; readonly at: Instant }
  /** By an operator; counts from the moment it is on the disk. */
  | {
      readonly r: 'extend';
      readonly upBy: Instant;
      readonly by: string;
      readonly why: string;
      readonly at: Instant;
    }
  | {
      readonly r: 'undone';
      readonly id: string;
      readonly did: string;
      readonly tookMs?: number;
      readonly at: Instant;
    }
  | {
      readonly r: 'job';
      readonly id: string;
      readonly position: string;
      readonly attempt: number;
      readonly at: Instant;
    }
  /** Of a job, or of a change that works by processes. */
  | {
      readonly r: 'process';
      readonly job: string;
      readonly pid: number;
      readonly startTime: string;
      readonly at: Instant;
    }
  /** artifact null: the job failed or was ended, whatever it wrote is invalid. */
  | {
      readonly r: 'job-end';
      readonly id: string;
      readonly artifact: JobResult | null;
      readonly why?: string;
      readonly at: Instant;
    };

/** Of a copy into one store, or into several; of one on this host, what it holds. */
export type JobResult = Artifact | Copies | { readonly fingerprint: Readonly<Record<string, unknown>> };

export interface Claim extends Omit<ClaimRequest, 'protocol' | 'again' | 'holds'> {
  readonly journal: string;
  readonly epoch: number;
  readonly found: Readonly<Record<string, Found>>;
  readonly at: Instant;
}

export interface EntryState extends Omit<Entry, 'committed'> {
  /** As it was resolved when it was stopped: undone the same way whatever the site file says by then. */
  readonly service: Service | null;
  /** As it was resolved when the snapshot was begun: what undo removes, whatever the site file says by then. */
  readonly place: CopyPlace | null;
  /** Of a restore, likewise. */
  readonly restore: RestorePlace | null;
  readonly committedAt: Instant | null;
  readonly processes: readonly StartedProcess[];
  readonly result: ChangeResult | null;
  readonly undoneAt: Instant | null;
  readonly undoMs: number | null;
}

/** The pid of a group's leader, and when it was started: pids are used again. */
export interface StartedProcess {
  readonly pid: number;
  readonly startTime: string;
}

export interface JobState {
  readonly id: string;
  readonly position: string;
  readonly attempt: number;
  readonly processes: readonly StartedProcess[];
  readonly ended: boolean;
  readonly artifact: JobResult | null;
}

/** All that the journal says, as it stands after its last line. */
export interface JournalState {
  readonly claim: Claim | null;
  /** Of the claim, or as extended; null: nothing is claimed. */
  readonly upBy: Instant | null;
  readonly epoch: number;
  readonly epochAt: Instant | null;
  readonly runId: string | null;
  /** Who raised the epoch last. */
  readonly owner: string | null;
  readonly entries: ReadonlyMap<string, EntryState>;
  readonly jobs: ReadonlyMap<string, JobState>;
  readonly sealed: readonly string[];
}

export function emptyState(epoch: number): JournalState {
  return {
    claim: null,
    upBy: null,
    epoch,
    epochAt: null,
    runId: null,
    owner: null,
    entries: new Map(),
    jobs: new Map(),
    sealed: [],
  };
}

/** What a line does to the state. Pure, so that reading a journal again gives what its writer had. */
export function apply(state: JournalState, record: JournalRecord): JournalState {
  switch (record.r) {
    case 'claim':
      return {
        ...emptyState(record.epoch),
        claim: record,
        upBy: record.upBy,
        epochAt: record.at,
        runId: record.runId,
        owner: `run ${record.runId}`,
      };
    case 'epoch':
      return {
        ...state,
        epoch: record.epoch,
        epochAt: record.at,
        runId: record.runId ?? state.runId,
        owner: record.by,
      };
    case 'intent':
      return withEntry(state, record.id, {
        id: record.id,
        host: state.claim?.host ?? '',
        position: record.position,
        change: record.change,
        found: record.found,
        service: record.service,
        place: placeOf(record),
        restore: record.restore ?? null,
        committedAt: null,
        processes: [],
        intentAt: record.at,
        endedAt: null,
        result: null,
        undoneAt: null,
        undoMs: null,
      });
    case 'end':
      return changeEntry(state, record.id, (entry) => ({
        ...entry,
        endedAt: record.at,
        result: record.result,
      }));
    case 'commit':
      return record.ids.reduce(
        (next, id) => changeEntry(next, id, (entry) => ({ ...entry, committedAt: record.at })),
        state,
      );
    case 'undone':
      return changeEntry(state, record.id, (entry) => ({
        ...entry,
        undoneAt: record.at,
        undoMs: record.tookMs ?? null,
      }));
    case 'seal':
      return { ...state, sealed: [...state.sealed, record.scope] };
    case 'extend':
      return { ...state, upBy: record.upBy };
    case 'job':
      return withJob(state, {
        id: record.id,
        position: record.position,
        attempt: record.attempt,
        processes: [],
        ended: false,
        artifact: null,
      });
    case 'process':
      return changeEntry(changeJob(state, record.job, withProcess(record)), record.job, withProcess(record));
    case 'job-end':
      return changeJob(state, record.id, (job) => ({ ...job, ended: true, artifact: record.artifact }));
  }
}

function placeOf({ place }: Extract<JournalRecord, { readonly r: 'intent' }>): CopyPlace | null {
  if (place === undefined) return null;
  return 'root' in place ? { by: place.by, path: place.path, roots: [place.root] } : place;
}

/** Changes that are still to be undone, in the order in which they were made. */
export function openEntries(state: JournalState): readonly EntryState[] {
  return [...state.entries.values()].filter((entry) => entry.undoneAt === null);
}

export function runningJobs(state: JournalState): readonly JobState[] {
  return [...state.jobs.values()].filter((job) => !job.ended);
}

function withProcess({ pid, startTime }: StartedProcess) {
  return <T extends { readonly processes: readonly StartedProcess[] }>(owner: T): T => ({
    ...owner,
    processes: [...owner.processes, { pid, startTime }],
  });
}

function withEntry(state: JournalState, id: string, entry: EntryState): JournalState {
  return { ...state, entries: new Map(state.entries).set(id, entry) };
}

function changeEntry(
  state: JournalState,
  id: string,
  change: (entry: EntryState) => EntryState,
): JournalState {
  const entry = state.entries.get(id);
  return entry === undefined ? state : withEntry(state, id, change(entry));
}

function withJob(state: JournalState, job: JobState): JournalState {
  return { ...state, jobs: new Map(state.jobs).set(job.id, job) };
}

function changeJob(state: JournalState, id: string, change: (job: JobState) => JobState): JournalState {
  const job = state.jobs.get(id);
  return job === undefined ? state : withJob(state, change(job));
}
