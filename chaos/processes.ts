import { readFileSync } from 'node:fs';
import { runningJobs, type JournalState } from '../activities/ledger/records.ts';
import { startTimeOf } from '../activities/system/processes.ts';

/** Those of the copies under way that live. */
export function runningProcesses(
  journal: JournalState,
): readonly { readonly pid: number; readonly startTime: string }[] {
  return runningJobs(journal)
    .flatMap((job) => job.processes)
    .filter(({ pid, startTime }) => startTimeOf(pid) === startTime);
}

/** `tar`, `zstd`; null: it has ended. */
export function programOf(pid: number): string | null {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return null;
  }
}
