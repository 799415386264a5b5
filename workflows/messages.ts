import { defineQuery, defineUpdate } from '@temporalio/workflow';
import type { Plan } from '../model/plan.ts';
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

/** An operator's word: who, why, and until when it counts (a caller that gave up must not be obeyed later). */
export interface Decision {
  readonly by: string;
  readonly why: string;
  readonly sentAt: string;
  /** Milliseconds from sentAt. */
  readonly validForMs: number;
}

export const progressQuery = defineQuery<Progress>('progress');
export const planQuery = defineQuery<Plan | null>('plan');
/** Ends the run: nothing further is done, and all is brought back. Answers with what is brought back. */
export const abortUpdate = defineUpdate<string, [Decision]>('abort');

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
