import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { runCommand } from '../../activities/system/command.ts';
import { startTimeOf } from '../../activities/system/processes.ts';
import { checkoutPath } from '../checkout.ts';
import { isAlive, sendSignal } from '../local/processes.ts';
import { waitFor } from '../local/wait.ts';

/** A process under demo/services/servicectl: this folder is all that it is. */
export interface Unit {
  readonly name: string;
  readonly folder: string;
}

/** What the `command` driver calls. */
export const servicectl = checkoutPath('demo/services/servicectl');

/**
 * Writes down what runs; starts nothing.
 * @param aliveLock a file that whoever owns the unit holds locked: when it lets go, by dying too, the unit is killed.
 */
export function defineUnit(folder: string, argv: readonly string[], aliveLock: string): Unit {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'run'), `exec ${argv.map(quote).join(' ')}\n`);
  if (!existsSync(join(folder, 'alive'))) symlinkSync(aliveLock, join(folder, 'alive'));
  return { name: basename(folder), folder };
}

type Command = 'start' | 'stop' | 'status' | 'instance' | 'last-exit' | 'hold-down' | 'let-go' | 'times';

/** Runs servicectl. Gives its exit code instead of throwing: a status is one. */
export function control(unit: Unit, command: Command): ReturnType<typeof runCommand> {
  return runCommand([servicectl, command, unit.folder], { acceptExit: [0, 1, 3], leavesDaemon: true });
}

/** Throws with what servicectl said: a unit that is held down refuses. */
export async function startUnit(unit: Unit): Promise<void> {
  const { exitCode, stderr } = await control(unit, 'start');
  if (exitCode !== 0) throw new Error(`${unit.name} did not start: ${stderr.trim()}`);
}

/** Asks it to end and waits until it has. */
export async function stopUnit(unit: Unit, { withinMs = 60_000 } = {}): Promise<void> {
  await control(unit, 'stop');
  await waitFor(() => !isRunning(unit), { what: `${unit.name} to end`, withinMs });
}

export function isRunning(unit: Unit): boolean {
  const leader = leaderOf(unit);
  return leader !== null && isAlive(leader);
}

/** How often it was started. */
export function instanceOf(unit: Unit): number {
  return Number(textOf(unit, 'instance') ?? 0);
}

/** Who holds it down; null: nobody. */
export function heldBy(unit: Unit): string | null {
  return textOf(unit, 'held');
}

/** Of the last run; 128 + signal for a signal; null: it runs, or nobody saw it end. */
export function exitStatusOf(unit: Unit): number | null {
  const text = textOf(unit, 'exit');
  return text === null || text === '' ? null : Number(text);
}

/** The end of what it wrote, for messages. */
export function logOf(unit: Unit): string {
  return (textOf(unit, 'log') ?? '').split('\n').slice(-15).join('\n');
}

/** Ends the whole group at once, and waits until its leader is gone. */
export async function killUnit(unit: Unit): Promise<void> {
  const leader = leaderOf(unit);
  if (leader === null) return;
  await waitFor(
    () => {
      // Again and again: one that was started this very moment does not lead its group yet.
      sendSignal(-leader, 'SIGKILL');
      return !isAlive(leader);
    },
    { what: `${unit.name} to be gone after SIGKILL`, withinMs: 10_000 },
  );
}

/** The process that waits for the program, if it still is the one that was started: ids are used again. */
function leaderOf(unit: Unit): number | null {
  const [pid, startTime] = (textOf(unit, 'supervisor') ?? '').split(' ');
  if (pid === undefined || startTime === undefined || startTime === '') return null;
  return startTimeOf(Number(pid)) === startTime ? Number(pid) : null;
}

function textOf({ folder }: Unit, file: string): string | null {
  try {
    return readFileSync(join(folder, file), 'utf8').trim();
  } catch {
    return null;
  }
}

function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
