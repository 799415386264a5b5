import { defineQuery, defineUpdate } from '@temporalio/workflow';
import type { Instant, Plan } from '../model/plan.ts';
import type { Progress } from '../model/progress.ts';

/** Input of workflow `procedure`; small enough to type into the Temporal UI. */
export interface ProcedureInput {
  readonly site: string;
  readonly procedure: string;
  /** For a run outside its window: `HH:MM`, or an instant. */
  readonly upBy?: string;
  /** Run the same night a second time. */
  readonly again?: boolean;
}

/** An operator's word: who and why; typed by hand in the Temporal UI, that is all there is to it. */
export interface Decision {
  readonly by: string;
  readonly why: string;
  /** A caller that gave up must not be obeyed later: the word counts this long from when it was sent. */
  readonly sentAt?: Instant;
  /** Milliseconds from sentAt. */
  readonly validForMs?: number;
}

export interface StepDecision extends Decision {
  /** `2/processing/1` */
  readonly step: string;
}

/** Of the step that asks; left out while there is only one. */
export type Retry = Decision & Partial<Pick<StepDecision, 'step'>>;

export interface Answer extends Retry {
  /** One of those that the question names. */
  readonly answer: string;
}

export interface Extension extends Decision {
  /** ISO 8601 with offset; bringing back begins as much later as this is after the up-by before. */
  readonly upBy: string;
}

export const progressQuery = defineQuery<Progress>('progress');
export const planQuery = defineQuery<Plan | null>('plan');

// Operators' decisions. Each answers with what follows from it, in words; a wrong one is refused with the reason.
/** Nothing further is done, and all is brought back. There is no set. */
export const abortUpdate = defineUpdate<string, [Decision]>('abort');
/** Gives up waiting and copying now; once all steps are done: restarts now instead of at restart.at. */
export const bringBackUpdate = defineUpdate<string, [Decision]>('bring-back');
/** No step begins until `resume`; what runs goes on, and bringing back still begins in time. */
export const pauseUpdate = defineUpdate<string, [Decision]>('pause');
export const resumeUpdate = defineUpdate<string, [Decision]>('resume');
/** A step that runs, waits, asks, or is still to come. */
export const skipUpdate = defineUpdate<string, [StepDecision]>('skip');
/** A step that failed and asks; or, while bringing back pauses, its next round. */
export const retryUpdate = defineUpdate<string, [Retry]>('retry');
export const answerUpdate = defineUpdate<string, [Answer]>('answer');
/** Counts only where the agents have it on their disks. */
export const extendUpdate = defineUpdate<string, [Extension]>('extend');

/** Typed search attributes; upserted only where registered. */
export const searchAttributes = {
  site: 'ColdbackupSite',
  procedure: 'ColdbackupProcedure',
  phase: 'ColdbackupPhase',
  outcome: 'ColdbackupOutcome',
} as const;

/** Control's queue; an agent's is `coldbackup/<site>/<host>`. */
export const controlQueue = 'coldbackup';

export function agentQueue(site: string, host: string): string {
  return `${controlQueue}/${site}/${host}`;
}
