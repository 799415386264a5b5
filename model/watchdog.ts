import type { HostSeen, LedgerView } from './activities.ts';
import type { NotBack } from './progress.ts';
import type { Instant } from './plan.ts';
import type { HostName } from './site.ts';

/** What the watchdog decides, and what it tells. */

export type Held = NonNullable<LedgerView['held']>;

/** The workflow that holds a host, found by its id alone: the newest run of it. */
export type Described =
  | { readonly kind: 'none' }
  | { readonly kind: 'closed'; readonly how: string; readonly at: Instant }
  | { readonly kind: 'open'; readonly failing: FailingTask | null };

/** A workflow task that was tried more than once. */
export interface FailingTask {
  readonly attempts: number;
  readonly since: Instant;
}

export interface Patience {
  /** After up-by. */
  readonly graceMs: number;
  /** After the end of a run, whose last calls may still be on their way. */
  readonly settleMs: number;
  readonly failingAttempts: number;
  /** From the first failure. */
  readonly failingMs: number;
}

/** Of the site file, `graceMs` is its own. */
export const defaultPatience: Patience = {
  graceMs: 10 * 60_000,
  settleMs: 30_000,
  failingAttempts: 5,
  failingMs: 5 * 60_000,
};

export interface Verdict {
  /** leave: the run lives, and is in time. orphan: nobody brings this host back. stuck: nobody will in time. */
  readonly kind: 'leave' | 'orphan' | 'stuck';
  readonly why: string;
}

/** Whether the watchdog brings a held host back. */
export function verdict(held: Held, described: Described, now: Instant, patience: Patience): Verdict {
  const nowMs = Date.parse(now);
  if (described.kind === 'none') return orphan('there is no such workflow');
  if (described.kind === 'closed') {
    const { how, at } = described;
    return nowMs - Date.parse(at) < patience.settleMs
      ? leave(`the run was ${how} at ${at}, a moment ago: it has one more round`)
      : orphan(`the run was ${how} at ${at}`);
  }
  const { failing } = described;
  if (nowMs > Date.parse(held.upBy) + patience.graceMs)
    return stuck(`the run is open, and past its up-by ${held.upBy} and grace`);
  if (
    failing !== null &&
    failing.attempts >= patience.failingAttempts &&
    nowMs - Date.parse(failing.since) > patience.failingMs
  )
    return stuck(`the run's workflow task fails since ${failing.since} (attempt ${failing.attempts})`);
  return leave(`the run is open, up by ${held.upBy}`);
}

function leave(why: string): Verdict {
  return { kind: 'leave', why };
}

function orphan(why: string): Verdict {
  return { kind: 'orphan', why };
}

function stuck(why: string): Verdict {
  return { kind: 'stuck', why };
}

/** Input of workflow `repair`: it works from the journals, never from a run's memory. */
export interface RepairInput {
  readonly site: string;
  readonly siteDigest: string;
  readonly hosts: readonly RepairHost[];
  /** Of every service of the site. */
  readonly timing: Readonly<
    Record<string, { readonly stopWithinMs: number; readonly readyWithinMs: number }>
  >;
}

export interface RepairHost {
  readonly host: HostName;
  readonly journal: string;
  /** As read: whoever has taken over since keeps the host. */
  readonly epoch: number;
  readonly workflowId: string;
  readonly why: string;
}

export interface Repaired {
  readonly undone: readonly {
    readonly id: string;
    readonly what: string;
    readonly host: HostName;
    /** `started`, `was found stopped, left stopped`. */
    readonly did: string;
  }[];
  readonly notBack: readonly NotBack[];
  /** Hosts that somebody else has taken over or freed since. */
  readonly leftTo: readonly { readonly host: HostName; readonly why: string }[];
}

/** What a round found on one host. */
export interface HostRound {
  readonly host: HostName;
  readonly state: 'free' | 'held' | 'no answer';
  readonly held: Omit<Held, 'entries'> | null;
  readonly verdict: Verdict | null;
}

export interface Alert {
  readonly site: string;
  readonly kind: 'host' | 'service' | 'balancer' | 'night' | 'set' | 'control' | 'site-file';
  /** `app-1`, `web on app-1`, `nightly`. */
  readonly subject: string;
  readonly text: string;
}

export interface SiteRound {
  readonly site: string;
  readonly timezone: string;
  readonly hosts: readonly HostRound[];
  /** null: nothing was to be repaired, or its end is not awaited. */
  readonly repaired: Repaired | null;
  readonly alerts: readonly Alert[];
  /** What could not be looked at: such a round is not whole. */
  readonly errors: readonly string[];
}

/** Of the watchdog's own workflows. */
export const watchdogQueue = 'coldbackup-watchdog';

/** What is down, and what is there, of one site. */
export interface LookInput {
  readonly site: string;
  readonly hosts: readonly HostName[];
  /** Whose sets are asked for. */
  readonly stores: readonly { readonly store: string; readonly keeper: HostName }[];
}

export interface SiteLook {
  readonly hosts: readonly HostLook[];
  readonly stores: readonly StoreLook[];
}

export interface HostLook {
  readonly host: HostName;
  /** null: no answer, see `error`. */
  readonly view: LedgerView | null;
  /** null: held, or no answer. */
  readonly seen: HostSeen | null;
  readonly error: string | null;
}

export interface StoreLook {
  readonly store: string;
  /** When the newest set of each procedure was published; null: no answer, see `error`. */
  readonly newest: Readonly<Record<string, Instant>> | null;
  readonly error: string | null;
}
