import type { Instant } from './plan.ts';
import type { HostName } from './site.ts';
import type { SetRef, StepRecord } from './manifest.ts';

export type Phase =
  | 'resolve'
  | 'preflight'
  | 'claim'
  | 'steps'
  | 'restart-wait'
  | 'archive'
  | 'bring-back'
  | 'finish'
  | 'ended';

/** Where nothing else is said of what runs. */
export const phaseWords: Readonly<Record<Phase, string>> = {
  resolve: 'resolving the plan; nothing is changed yet',
  preflight: 'preflight: asking every host; nothing is changed yet',
  claim: 'claiming the hosts; nothing is changed yet',
  steps: 'between two steps',
  'restart-wait': 'all steps done',
  archive: 'services are back; archiving the copies on the hosts',
  'bring-back': 'bringing everything back',
  finish: 'closing the run: manifest and report',
  ended: 'ended',
};

/** The answer to the query `progress`: what the screens of `status`, `watch` and the demo are made of. */
export interface Progress {
  readonly site: string;
  readonly procedure: string;
  readonly phase: Phase;
  readonly since: Instant;
  readonly timezone: string | null;
  readonly night: string | null;
  readonly restartAt: Instant | null;
  readonly upBy: Instant | null;
  readonly steps: readonly StepProgress[];
  /** One line for each thing that runs now. */
  readonly now: readonly NowItem[];
  readonly down: readonly DownService[];
  readonly notBack: readonly NotBack[];
  /** Who let the run wait before its next step; null: it goes on. */
  readonly paused: DecisionRecord | null;
  readonly questions: readonly Question[];
  readonly decisions: readonly DecisionRecord[];
  readonly warnings: readonly string[];
  readonly report: Report | null;
}

/** What an operator decided, as manifest and report keep it. */
export interface DecisionRecord {
  readonly at: Instant;
  /** `pause`, `skip`, `extend` … */
  readonly what: string;
  /** `2/processing/1`, `up by 2026-11-22T09:00:00.000Z`; absent where there is nothing to say. */
  readonly detail?: string;
  readonly by: string;
  readonly why: string;
}

/** What the run asks its operators. */
export interface Question {
  /** Of the step that asks. */
  readonly step: string;
  readonly text: string;
  readonly answers: readonly string[];
  readonly since: Instant;
  /** Then `else` is done. */
  readonly by: Instant;
  readonly else: string;
}

export interface StepProgress extends Omit<StepRecord, 'outcome'> {
  readonly depth: number;
  readonly state: StepRecord['outcome'] | 'running' | 'waiting';
}

export interface NowItem {
  readonly step: string;
  /** `waiting for active-workflows = 0`. */
  readonly text: string;
  readonly since: Instant;
  readonly until: Instant | null;
  /** What happens at `until`: `fail: all is brought back`. */
  readonly then: string | null;
}

export interface DownService {
  readonly service: string;
  readonly host: HostName;
  readonly since: Instant;
  readonly step: string;
}

export interface NotBack {
  readonly id: string;
  readonly what: string;
  readonly host: HostName;
  readonly why: string;
}

/**
 * complete: all steps done, the set published, all back. incomplete: back in time, before the copies were done, no set.
 * failed, cancelled: all is back, there is no set.
 * not-back: something is not as it was found. no-go, already-ran: nothing was changed.
 */
export type Outcome =
  'complete' | 'incomplete' | 'failed' | 'cancelled' | 'not-back' | 'no-go' | 'already-ran';

export interface Report {
  readonly site: string;
  readonly procedure: string;
  /** Of the site; null: the plan was never resolved. */
  readonly timezone: string | null;
  readonly night: string | null;
  readonly outcome: Outcome;
  readonly reason: string | null;
  readonly startedAt: Instant;
  readonly endedAt: Instant;
  readonly steps: readonly StepRecord[];
  readonly services: readonly ServiceDowntime[];
  readonly notBack: readonly NotBack[];
  readonly sets: readonly { readonly set: SetRef; readonly store: string; readonly sizeBytes: number }[];
  readonly checks: readonly Check[];
  readonly decisions: readonly DecisionRecord[];
  readonly warnings: readonly string[];
  /** What the fingerprints of its sets cost. Absent: none was taken. */
  readonly fingerprints?: readonly FingerprintCost[];
  /** Of a restore. */
  readonly restore?: RestoreReport;
}

/** A replica set's content, read on a member that ran, while another one was copied; or of a copy, after its archive. */
export interface FingerprintCost {
  readonly database: string;
  readonly set: string;
  readonly member: string;
  /** It was read of the copy of this member. */
  readonly copy?: true;
  readonly tookMs: number;
}

export interface RestoreReport {
  readonly set: SetRef;
  readonly store: string;
  /** true: what was restored stays, whatever came after. */
  readonly committed: boolean;
  readonly targets: readonly RestoredTarget[];
  /** One for each database that was compared, or could not be. */
  readonly compared: readonly { readonly database: string; readonly text: string }[];
}

export interface RestoredTarget {
  readonly database: string;
  readonly member?: string;
  readonly host: HostName;
  readonly replaces: readonly string[];
  readonly contentBytes: number;
  /** Where what was there before lies, on its host. Empty: it is back, or there was nothing. */
  readonly aside: readonly string[];
}

export interface ServiceDowntime {
  readonly service: string;
  readonly host: HostName;
  readonly downMs: number;
  readonly found: 'running' | 'stopped';
  /** It was found stopped, and was started on restored data. */
  readonly started?: boolean;
}

/** A row of the go/no-go table. */
export interface Check {
  readonly host: HostName;
  readonly subject: string;
  readonly verdict: 'go' | 'warning' | 'no-go';
  readonly detail: string;
  /** What to do about it; only where the verdict is not go. */
  readonly hint?: string;
}
