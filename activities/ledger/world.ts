import type { Change, Found, MemberGuard, StopEvidence } from '../../model/ledger.ts';
import type { Service } from '../../model/site.ts';
import type { DataResource } from '../../model/resource.ts';
import type { CopyPlace } from '../copies/place.ts';
import type { RestorePlace } from '../restore/place.ts';

/** What the ledger touches outside: services and the balancer, on this host. Injected, so that faults can be forced. */
export interface World {
  observe(service: Service): Promise<Extract<Found, { kind: 'service' }>>;
  /** Holds it down, then stops it; returns when every process is gone. */
  stop(
    service: Service,
    options: { withinMs: number; signal: AbortSignal; by: string },
  ): Promise<StopEvidence>;
  /** What the driver sees now. A stop that is still under way is neither. */
  stateOf(service: Service): Promise<'running' | 'stopped' | 'between'>;
  /** Lifts the hold; nothing is started. */
  letGo(service: Service): Promise<void>;
  /** Starts it with what the stop dragged along, and returns when it is ready, as a database member too. */
  start(
    name: string,
    service: Service,
    options: { also: readonly string[]; signal: AbortSignal },
  ): Promise<void>;
  /** Changes with every start. null: the driver cannot tell. */
  instanceOf(service: Service): Promise<string | null>;
  /** Waits until the member may be stopped; `moved` when it no longer has the role. */
  guard(guard: MemberGuard, options: { untilMs: number; signal: AbortSignal }): Promise<'holds' | 'moved'>;
  balancer: {
    observe(database: string): Promise<Extract<Found, { kind: 'balancer' }>>;
    stop(database: string, options: { untilMs: number; signal: AbortSignal }): Promise<void>;
    restore(
      database: string,
      found: Extract<Found, { kind: 'balancer' }>,
      options: { signal: AbortSignal },
    ): Promise<void>;
  };
  snapshot: {
    /** Of data at rest, of a member with its lock held; what an earlier try has left there goes first. */
    make(
      change: SnapshotMade,
      place: CopyPlace,
      options: { signal: AbortSignal; onProcess: (pid: number) => void },
    ): Promise<void>;
    /** Also of one that is half made, or that is gone. */
    remove(place: CopyPlace): Promise<void>;
  };
  restore: {
    observe(resource: DataResource): Promise<Extract<Found, { kind: 'data' }>>;
    /** Verified, beside the data; what an earlier try has left there goes first. */
    unpack(
      change: SetUnpacked,
      place: RestorePlace,
      options: { signal: AbortSignal; onProcess: (pid: number) => void },
    ): Promise<void>;
    /** Also of one that is half unpacked, or that is gone; and the folder above that was made for it, once it is empty. */
    remove(place: RestorePlace, found: Found): Promise<void>;
    /** Gives where the old data lies then. */
    moveAside(
      change: DataMovedAside,
      place: RestorePlace,
      found: Extract<Found, { kind: 'data' }>,
    ): Promise<readonly string[]>;
    /** Says what it did. */
    moveBack(place: RestorePlace, found: Extract<Found, { kind: 'data' }>): Promise<string>;
    /** Where data from before lies, which stays. */
    aside(place: RestorePlace): Promise<readonly string[]>;
  };
}

export type SetUnpacked = Extract<Change, { kind: 'set-unpacked' }>;
export type DataMovedAside = Extract<Change, { kind: 'data-moved-aside' }>;

export type SnapshotMade = Extract<Change, { kind: 'snapshot-made' }>;
