import type { RunRef } from '../client/index.ts';
import type { Outcome } from '../model/progress.ts';
import type { Position } from './positions.ts';
import type { Rig } from './rig.ts';
import type { Host, SiteKind } from './site.ts';

/** What a fault may know of its cell. */
export interface Strike {
  readonly rig: Rig;
  readonly position: Position;
  readonly host: Host;
  run: RunRef;
  readonly upByMs: number;
  /** Until all is back. */
  readonly backAgain: AbortSignal;
}

export interface Fault {
  readonly name: string;
  /** `short`: the run is not expected to bring back, up-by is near. `patient`: it is far away, and of no help. */
  readonly night: 'patient' | 'short';
  /** All is back within this of the later of the fault's end and, in a short night, of up-by + grace. */
  readonly withinMs: number;
  readonly watchdog?: boolean;
  /** It takes a moment: control is held meanwhile, so that the night does not go on. */
  readonly takesTime?: boolean;
  /** The only kind of site that it is about; plain unless told. */
  readonly site?: SiteKind;
  /** It is about sets: there must be one before, and those that are there stay whole. */
  readonly keepsEarlier?: boolean;
  /** What the report gives as its reason, unless all went well. */
  readonly says?: RegExp;
  /** Not a word: it applies. */
  notAt?(position: Position): string | undefined;
  strike(cell: Strike): void | Promise<void>;
  /** Up to the end of the fault. */
  end?(cell: Strike): Promise<void>;
  /** Once all is back: the rig is made whole again. */
  mend?(cell: Strike): void | Promise<void>;
  /** Why it was no fault after all. */
  notSeen?(cell: Strike): string | undefined;
  /** Of a service, over all; default 1. */
  readonly starts?: number;
  /** Outcomes that would be wrong. */
  readonly never?: readonly (Outcome | 'lost')[];
  /** Positions from which on `never` does not count: it comes too late. */
  readonly tooLateFrom?: string;
}

/** Longer than the heartbeat timeout of 20 s. */
export const awayMs = 22_000;

/** A position that a fault cannot strike, as it turned out. */
export class NotApplicable extends Error {
  override readonly name = 'NotApplicable';
}

/** null: a cell of these two says nothing. */
export function kindOf(fault: Fault, position: Position): SiteKind | null {
  const kinds = [fault.site, position.site].filter((kind) => kind !== undefined);
  if (fault.site === 'mongodb' && position.site === undefined) return null;
  return new Set(kinds).size > 1 ? null : (kinds[0] ?? 'plain');
}
