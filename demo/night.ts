import { spawn } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { exitCodes } from '../cli/exit-codes.ts';
import type { Report } from '../model/progress.ts';
import type { NightClock } from './clock.ts';
import type { Output } from './output.ts';
import type { Places } from './places.ts';
import { startUnit, type Unit } from './services/supervised.ts';

export interface NightOptions {
  readonly coldbackup: readonly string[];
  readonly address: string;
  readonly places: Places;
  readonly interrupted: AbortSignal;
}

/** Runs the night as an operator does; the command line shows it, live on a terminal, and the tables in the end. */
export function runNight(out: Output, options: NightOptions): Promise<Report> {
  return runCommandLine(out, options, ['run', 'vitam', 'nightly', '--wait'], 'nightly');
}

/** Restores the whole set by one command. */
export function runRestore(out: Output, options: NightOptions, set: string): Promise<Report> {
  const why = 'all data folders are empty';
  const words = ['restore', 'vitam', set, '--yes', '--why', why, '--wait'];
  return runCommandLine(out, options, words, 'restore');
}

/** Restores the newest set where nobody is disturbed; gives whether it was what it should be. */
export async function runDrill(out: Output, options: NightOptions): Promise<boolean> {
  return (await runCommand(out, options, ['drill', 'vitam', '--wait'])) === 0;
}

async function runCommandLine(
  out: Output,
  options: NightOptions,
  words: readonly string[],
  procedure: string,
): Promise<Report> {
  const { places, interrupted } = options;
  let exitCode = await runCommand(out, options, words);
  // The run goes on by itself when its terminal is lost, as on a machine that is too busy to answer.
  while (exitCode === exitCodes.unreachable && reportOf(places, procedure) === null && !interrupted.aborted)
    exitCode = await runCommand(out, options, ['watch', 'vitam', procedure]);
  const report = reportOf(places, procedure);
  if (report === null)
    throw new Error(`coldbackup ${words[0] ?? ''} ended with exit code ${exitCode}, and there is no report`);
  return report;
}

function runCommand(
  out: Output,
  { coldbackup, address, interrupted }: NightOptions,
  words: readonly string[],
): Promise<number | null> {
  out.line(`$ coldbackup ${words.map((word) => (word.includes(' ') ? `"${word}"` : word)).join(' ')}`);
  return runHere([...coldbackup, '--address', address, ...words], interrupted);
}

/** For the run to have reached the wait for the job, so that there is something to wait for. */
const runFirstMs = 12_000;

/** Stands in for cron: starts the job when the night has begun, after the time from which on a run of it counts. */
export function beginJobLater(job: Unit, { jobFromMs }: NightClock, interrupted: AbortSignal): void {
  const waitMs = Math.max(jobFromMs + 1_000 - Date.now(), runFirstMs);
  void sleep(waitMs, undefined, { signal: interrupted })
    .then(() => startUnit(job))
    // Interrupted; and a job that does not begin is what the night itself would say.
    .catch(() => undefined);
}

/** On this terminal; in a group of its own, so that a Ctrl-C ends the demo and not only this. */
function runHere(argv: readonly string[], signal: AbortSignal): Promise<number | null> {
  const file = 'setpriv';
  const args = ['--pdeathsig', 'KILL', '--', ...argv];
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: ['ignore', 'inherit', 'inherit'], detached: true });
    const end = () => child.kill('SIGKILL');
    signal.addEventListener('abort', end, { once: true });
    child.once('error', reject);
    child.once('exit', (code) => {
      signal.removeEventListener('abort', end);
      resolve(code);
    });
  });
}

function reportOf({ reports }: Places, procedure: string): Report | null {
  try {
    const folder = join(reports, 'vitam', procedure);
    const name = readdirSync(folder).sort().at(-1);
    return name === undefined ? null : (JSON.parse(readFileSync(join(folder, name), 'utf8')) as Report);
  } catch {
    return null;
  }
}
