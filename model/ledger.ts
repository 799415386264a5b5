import type { Instant } from './plan.ts';
import type { SetRef } from './manifest.ts';
import type { CopyWay, HostName } from './site.ts';

/** What every call after the claim carries; the agent refuses any other journal, epoch or digest, and a late one. */
export interface Ref {
  readonly site: string;
  readonly host: HostName;
  readonly journal: string;
  readonly epoch: number;
  readonly siteDigest: string;
}

/** One thing altered. There is one `undo` per kind, used by whoever undoes. */
export type Change =
  | {
      readonly kind: 'service-stopped';
      readonly service: string;
      /** Read again right before the stop: an election may have moved the primary. */
      readonly guard?: MemberGuard;
      /** Of a member that gets other data: once that is committed it is started, also if it was found stopped. */
      readonly startsOnceKept?: boolean;
    }
  | { readonly kind: 'balancer-stopped'; readonly database: string }
  /** A copy of data at rest, on its own host; undone by removing it. */
  | {
      readonly kind: 'snapshot-made';
      readonly database: string;
      /** Of MongoDB. Absent: the roots of a tree of files. */
      readonly member?: string;
      readonly by: CopyWay;
    }
  /** An artifact, unpacked and verified beside the data that it is to replace; undone by removing it. */
  | ({
      readonly kind: 'set-unpacked';
      readonly store: string;
      /** Of a member of a replica set that is to have the members of the site file: its new identity, the same in all. */
      readonly newSet?: string;
    } & Restored)
  /**
   * The data moved aside, and what was unpacked put in its place; undone by moving both back, unless it was committed:
   * then what is there stays, and so does what was moved aside.
   */
  | ({ readonly kind: 'data-moved-aside' } & Restored)
  /**
   * A sharded cluster is replaced by one whose balancer is off, as the night had stopped it. Nothing is altered by it;
   * once what replaces is committed it is undone by putting the settings back that the night had found.
   */
  | {
      readonly kind: 'balancer-replaced';
      readonly database: string;
      readonly settings: Readonly<Record<string, unknown>> | null;
    };

/** What is put where. */
export interface Restored {
  readonly database: string;
  /** Of MongoDB. Absent: the roots of a tree of files. */
  readonly member?: string;
  readonly set: SetRef;
  readonly artifact: string;
  /** Put there, where nothing is, to be looked at; of MongoDB `member` is then whose copy it is. */
  readonly to?: string;
}

/** The member is stopped only while it has this role, and once its durable and majority optimes reached the marker. */
export interface MemberGuard {
  readonly kind: 'mongodb-member';
  readonly database: string;
  readonly member: string;
  readonly role: 'primary' | 'secondary' | 'standalone';
  /** Absent for a standalone server, which has no oplog. */
  readonly marker?: Optime;
}

/** A MongoDB optime: timestamp as `seconds,increment`, and the term. */
export interface Optime {
  readonly ts: string;
  readonly term: number;
}

/** What was there before; the first one recorded wins. */
export type Found =
  | {
      readonly kind: 'service';
      readonly state: 'running' | 'stopped';
      readonly since?: Instant;
      readonly instance?: string;
      readonly dragged?: readonly string[];
    }
  | { readonly kind: 'balancer'; readonly settings: Readonly<Record<string, unknown>> | null }
  /** There was none: its name is of this journal alone. */
  | { readonly kind: 'snapshot' }
  /** They go with the data that they are in. */
  | { readonly kind: 'settings' }
  /** The inode of what lies at each path, by which it is known wherever it is moved; null: there is nothing. */
  | { readonly kind: 'data'; readonly inodes: Readonly<Record<string, string | null>> };

export interface ChangeRequest {
  readonly ref: Ref;
  /** Unique in the journal; derived from the place in the plan, so that a second attempt has the same. */
  readonly id: string;
  /** Where undo finds its turn, see {@link undoOrder}. */
  readonly position: string;
  readonly change: Change;
  /** Past this instant the agent refuses to act. */
  readonly notAfter: Instant;
}

export interface ChangeResult {
  readonly id: string;
  /** `moved`: the guard no longer held, nothing was changed and nothing is to be undone. */
  readonly outcome: 'done' | 'moved';
  readonly found: Found;
  readonly at: Instant;
  /** For a stop: what proves it. */
  readonly stopped?: StopEvidence;
  /** For data that was moved aside: where it is now. */
  readonly aside?: readonly string[];
}

export interface StopEvidence {
  readonly tookMs: number;
  /** null: the driver cannot tell. */
  readonly exitStatus: number | null;
  /** Changes with every start of the service; equal before and after a copy: it was never started. null: cannot tell. */
  readonly instance: string | null;
}

/** The journal's view of a change. */
export interface Entry {
  readonly id: string;
  readonly host: HostName;
  readonly position: string;
  readonly change: Change;
  readonly found: Found;
  readonly intentAt: Instant;
  /** null: the intent is recorded, the end is not. */
  readonly endedAt: Instant | null;
  /** Of data: what was put in its place stays there. */
  readonly committed?: boolean;
}

export interface UndoResult {
  readonly id: string;
  readonly at: Instant;
  readonly tookMs: number;
  /** What was done, for the report: `started`, `was found stopped, left stopped`. */
  readonly did: string;
}

export interface ClaimRequest {
  readonly protocol: number;
  readonly site: string;
  readonly host: HostName;
  readonly siteDigest: string;
  readonly procedure: string;
  readonly workflowId: string;
  readonly runId: string;
  readonly night: string;
  /** A second run of the same night is wanted. */
  readonly again: boolean;
  readonly holds: readonly string[];
  readonly upBy: Instant;
  readonly hardLimit: Instant;
}

export interface ClaimResult {
  readonly journal: string;
  readonly epoch: number;
  /** An earlier run of the same workflow id held this host: its `found` are kept, nothing was observed again. */
  readonly adopted: boolean;
  readonly found: Readonly<Record<string, Found>>;
}

export interface TakeOverInput {
  readonly site: string;
  readonly host: HostName;
  readonly journal: string;
  /** `run <run id>`, `watchdog`, `recover (user)`: a second attempt by the same owner is no new owner. */
  readonly by: string;
  readonly why: string;
  /** The caller's own epoch: refused when somebody else has taken over since. null: takes over from whoever it is. */
  readonly epoch: number | null;
}

export interface TakeOverResult {
  readonly epoch: number;
  readonly entries: readonly Entry[];
}

/** Undo in this order: groups one after the other, the branches of a group at once. */
export type UndoNode =
  | { readonly kind: 'change'; readonly entry: Entry }
  | { readonly kind: 'sequence'; readonly nodes: readonly UndoNode[] }
  | { readonly kind: 'parallel'; readonly nodes: readonly UndoNode[] };

/**
 * A position is a path: a segment that is a number is a place in a sequence, undone backwards; any other segment
 * names a branch, undone beside its siblings. `6/2/shard-a` comes after `6/1` was made and goes before it.
 */
export function undoOrder(entries: readonly Entry[]): UndoNode {
  return nodeOf(entries.map((entry) => ({ entry, path: entry.position.split('/') })));
}

/** Visits in undo order; a visit must not reject, or the rest of its sequence stays as it is. */
export async function walkUndo(node: UndoNode, visit: (entry: Entry) => Promise<void>): Promise<void> {
  if (node.kind === 'change') await visit(node.entry);
  else if (node.kind === 'parallel') await Promise.all(node.nodes.map((child) => walkUndo(child, visit)));
  else for (const child of node.nodes) await walkUndo(child, visit);
}

/** A scope holds the changes whose position lies under it; the empty scope holds all. */
export function inScope(position: string, scope: string): boolean {
  return scope === '' || position === scope || position.startsWith(`${scope}/`);
}

function nodeOf(items: readonly { entry: Entry; path: readonly string[] }[]): UndoNode {
  const here = items
    .filter(({ path }) => path.length === 0)
    .map(({ entry }): UndoNode => ({ kind: 'change', entry }));
  const heads = [...new Set(items.flatMap(({ path }) => path.slice(0, 1)))];
  const under = (head: string): UndoNode =>
    nodeOf(
      items.filter(({ path }) => path[0] === head).map(({ entry, path }) => ({ entry, path: path.slice(1) })),
    );
  const places = heads
    .filter(isPlace)
    .sort((a, b) => Number(b) - Number(a))
    .map(under);
  const branches = heads.filter((head) => !isPlace(head)).map(under);
  return sequence([...places, parallel(branches), ...here]);
}

function isPlace(segment: string): boolean {
  return /^\d+$/.test(segment);
}

function sequence(nodes: readonly UndoNode[]): UndoNode {
  return single('sequence', nodes.filter(isNotEmpty));
}

function parallel(nodes: readonly UndoNode[]): UndoNode {
  return single('parallel', nodes.filter(isNotEmpty));
}

function single(kind: 'sequence' | 'parallel', nodes: readonly UndoNode[]): UndoNode {
  const [only] = nodes;
  return only !== undefined && nodes.length === 1 ? only : { kind, nodes };
}

function isNotEmpty(node: UndoNode): boolean {
  return node.kind === 'change' || node.nodes.length > 0;
}
