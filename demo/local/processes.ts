import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** How a process ended: one of the two is null. */
export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** A process that this one started, in a group of its own. */
export interface Started {
  readonly pid: number;
  readonly command: readonly string[];
  readonly exited: Promise<Exit>;
  /** How it ended, or undefined while it runs. */
  exit(): Exit | undefined;
  /** The end of what it wrote, when it was started with a log file. */
  output(): string;
  /** Sends a signal to the process alone. */
  kill(signal: NodeJS.Signals): void;
  /** Ends the whole group: SIGTERM, and SIGKILL when the process is still there after `withinMs` (10 s). */
  stop(options?: { withinMs?: number }): Promise<Exit>;
}

export interface StartOptions {
  cwd?: string;
  /** Added to the environment of this process. */
  env?: Record<string, string>;
  /** Takes standard output and standard error; without it they are thrown away. */
  logFile?: string;
}

/**
 * Starts a program in a group of its own. Its end is no error here, whatever the outcome: see `exited`. On Linux that
 * holds for a program that is not there, too: it ends at once with code 127.
 */
export async function startProcess(command: readonly string[], options: StartOptions = {}): Promise<Started> {
  const { cwd, env, logFile } = options;
  const [file, ...args] = [...diesWithUs(), ...command];
  if (file === undefined) throw new Error('no command to start');
  const log = logFile === undefined ? 'ignore' : openSync(logFile, 'a');
  const child = spawn(file, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', log, log],
    detached: true,
  });
  let exit: Exit | undefined;
  const exited = new Promise<Exit>((fulfil) => {
    child.once('exit', (code, signal) => {
      exit = { code, signal };
      fulfil(exit);
    });
  });
  try {
    await new Promise((fulfil, reject) => child.once('spawn', fulfil).once('error', reject));
  } catch (error) {
    throw new Error(`cannot start ${JSON.stringify(command)}: ${String(error)}`, { cause: error });
  } finally {
    if (log !== 'ignore') closeSync(log);
  }
  const pid = child.pid;
  if (pid === undefined) throw new Error(`${JSON.stringify(command)} has no process id`);
  return {
    pid,
    command,
    exited,
    exit: () => exit,
    output: () => (logFile === undefined ? '' : endOf(logFile)),
    kill: (signal) => void sendSignal(pid, signal),
    stop: async ({ withinMs = 10_000 } = {}) => {
      if (!exit) await endGroup(pid, { withinMs });
      return await exited;
    },
  };
}

/** Ends a process group by its leader's id: SIGTERM, and SIGKILL for what is left when the leader is gone or late. */
export async function endGroup(pid: number, { withinMs }: { withinMs: number }): Promise<void> {
  sendSignal(-pid, 'SIGTERM');
  const deadline = Date.now() + withinMs;
  while (isAlive(pid) && Date.now() < deadline) await sleep(10);
  sendSignal(-pid, 'SIGKILL');
  while (isAlive(pid)) await sleep(10);
}

/** Sends a signal to a process, or with a negative id to a group; false when there is none. */
export function sendSignal(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** Whether a process runs; one that has ended and was not yet waited for does not. */
export function isAlive(pid: number): boolean {
  if (!sendSignal(pid, 0)) return false;
  if (process.platform !== 'linux') return true;
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** The end of a file, for messages; empty when it cannot be read. */
export function endOf(file: string, lines = 15): string {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  } catch {
    return '';
  }
}

/** On Linux the kernel kills the child when this process ends, even by SIGKILL: nothing is left on the machine. */
function diesWithUs(): string[] {
  return process.platform === 'linux' ? ['setpriv', '--pdeathsig', 'KILL', '--'] : [];
}
