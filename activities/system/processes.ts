import { readFileSync } from 'node:fs';

/** Field 22 of /proc/PID/stat (clock ticks since boot): a pid that was given again has another. null: no such process. */
export function startTimeOf(pid: number): string | null {
  return statOf(pid)?.[19] ?? null;
}

/** Stopped by a signal or by a debugger: it can heed no signal but SIGKILL. */
export function isSuspended(pid: number): boolean {
  const state = statOf(pid)?.[0];
  return state === 'T' || state === 't';
}

/** From field 3 on, proc_pid_stat(5): what follows the name, which may hold anything. */
function statOf(pid: number): readonly string[] | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return null;
  }
}

/** Sends a signal to the process group that `pid` leads, if it still is the process that was started at `startTime`. */
export function signalGroup(pid: number, startTime: string, signal: NodeJS.Signals): boolean {
  if (startTimeOf(pid) !== startTime) return false;
  try {
    process.kill(-pid, signal);
    return true;
  } catch {
    return false;
  }
}
