import type { ProcedureInput } from '../workflows/messages.ts';

/** Thrown when Temporal, control or an agent does not answer: nothing is known, nothing was changed by this call. */
export class UnreachableError extends Error {
  override readonly name = 'UnreachableError';
}

/** Thrown when no run, or more than one, is meant by a site and a procedure. */
export class NoSuchRunError extends Error {
  override readonly name = 'NoSuchRunError';
  /** How many are active. */
  readonly active: number;

  constructor(message: string, active: number) {
    super(message);
    this.active = active;
  }
}

/** Thrown when a site and a procedure have no schedule of coldbackup. */
export class NoSuchScheduleError extends Error {
  override readonly name = 'NoSuchScheduleError';
}

/** Thrown at a start when the same procedure of the site runs already. */
export class AlreadyRunningError extends Error {
  override readonly name = 'AlreadyRunningError';
}

/** Thrown when what an operator asks is refused by the run, or by the store, with the reason. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';
}

/** Thrown when a question was understood and cannot be answered: an unknown name, a set that is not there. */
export class QuestionError extends Error {
  override readonly name = 'QuestionError';
  /** The question names something that is not there, or asks for what cannot be. */
  readonly badInput: boolean;

  constructor(
    message: string,
    { badInput, cause }: { readonly badInput: boolean; readonly cause?: unknown },
  ) {
    super(message, { cause });
    this.badInput = badInput;
  }
}

/** Thrown when a run ended without any of its code: terminated by hand, or timed out. The journals tell what is down. */
export class RunLostError extends Error {
  override readonly name = 'RunLostError';
  readonly workflowId: string;

  constructor(workflowId: string, how: string) {
    super(
      `run ${workflowId} was ${how}: none of its code ran, so what it had stopped may still be down. ` +
        'See coldbackup ledger SITE; on each host that is held: coldbackup recover --host NAME --site FILE',
    );
    this.workflowId = workflowId;
  }
}

export function nameOfRun({ site, procedure }: Pick<ProcedureInput, 'site' | 'procedure'>): string {
  return `${site}/${procedure}`;
}
