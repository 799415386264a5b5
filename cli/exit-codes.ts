import type { Outcome } from '../model/progress.ts';

/** What a script can rely on; docs/commands.md has the table. */
export const exitCodes = {
  complete: 0,
  /** A run that failed, was cancelled or was not done in time: all is back. Also: digests wrong, a fault of coldbackup. */
  failed: 1,
  /** What was typed, or a file that was named. */
  usage: 2,
  nothingChanged: 3,
  /** Something may not be as it was found. */
  notBack: 4,
  unreachable: 5,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

export function exitCodeOf(outcome: Outcome): ExitCode {
  return byOutcome[outcome];
}

const byOutcome: Readonly<Record<Outcome, ExitCode>> = {
  complete: exitCodes.complete,
  incomplete: exitCodes.failed,
  failed: exitCodes.failed,
  cancelled: exitCodes.failed,
  'not-back': exitCodes.notBack,
  'no-go': exitCodes.nothingChanged,
  'already-ran': exitCodes.nothingChanged,
};
