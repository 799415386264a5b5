import type { Report } from '../model/progress.ts';
import { exitCodeOf, exitCodes } from './exit-codes.ts';

/** The command ends with this once all is closed. */
export function endWith(what: keyof typeof exitCodes): void {
  process.exitCode = exitCodes[what];
}

export function exitAs({ outcome }: Report): void {
  process.exitCode = exitCodeOf(outcome);
}
