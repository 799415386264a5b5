import { spawn } from 'node:child_process';
import type { ChildProcess, StdioOptions } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, readSync, readdirSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

/** More than this on stdout fails the command: a cut JSON must not be taken for a whole one. */
const maxStdoutBytes = 16 * 1024 * 1024;
const stderrTailBytes = 64 * 1024;
const killAfterMs = 5_000;
/** A process that the command left behind may hold its pipes: what came by then is its output. */
const pipeGraceMs = 500;

export interface CommandOptions {
  /** Ends the whole group; the call then throws the signal's reason, after the last process has gone. */
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
  readonly input?: string;
  /** An open file to read instead: whole before the command starts, whatever becomes of this process. */
  readonly stdinFile?: number;
  readonly cwd?: string;
  /** Added to PATH, HOME and LANG, the only variables that are passed on. */
  readonly env?: Readonly<Record<string, string>>;
  /** Exit codes that are no failure; absent: 0. */
  readonly acceptExit?: readonly number[];
  readonly onSpawn?: (pid: number) => void;
  /**
   * The command starts something that lives on. Its output goes to a file without a name instead of a pipe, so that
   * a daemon that kept it open neither holds up the call nor dies of SIGPIPE when this process ends.
   */
  readonly leavesDaemon?: boolean;
  /** What it is asked to end with; absent: SIGTERM. */
  readonly endSignal?: NodeJS.Signals;
}

export interface CommandResult {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
  readonly durationMs: number;
}

export interface ProcessOptions {
  readonly signal?: AbortSignal | undefined;
  readonly stdin?: 'pipe' | 'ignore';
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly onSpawn?: (pid: number) => void;
  /** What it is asked to end with; absent: SIGTERM. */
  readonly endSignal?: NodeJS.Signals;
}

export interface RunningProcess {
  readonly pid: number;
  readonly stdin: Writable | null;
  readonly stdout: Readable;
  /**
   * Resolves once the process has exited and its pipes are closed; a process ended by a signal has exit code
   * 128 + signal. Rejects with the signal's reason after an abort, once the whole group has gone.
   */
  readonly done: Promise<{ readonly exitCode: number; readonly stderr: string }>;
  /** Ends the whole group; resolves once it has gone. */
  kill(): Promise<void>;
}

/** Thrown when a command cannot be started, fails, prints too much, or does not end in time. The message is complete. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly argv: readonly string[];
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly stderr: string;
  readonly timedOut: boolean;

  constructor(
    argv: readonly string[],
    what: string,
    facts: { exitCode?: number | null; signal?: string | null; stderr?: string; timedOut?: boolean } = {},
    options?: ErrorOptions,
  ) {
    const stderr = facts.stderr ?? '';
    const said = lastLines(stderr);
    super(`${JSON.stringify(argv)} ${what}${said === '' ? '' : `; it said: ${said}`}`, options);
    this.argv = argv;
    this.exitCode = facts.exitCode ?? null;
    this.signal = facts.signal ?? null;
    this.stderr = stderr;
    this.timedOut = facts.timedOut ?? false;
  }
}

/** Runs a command to its end, in a process group of its own, without a shell. Throws {@link CommandError}. */
export async function runCommand(
  argv: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const { signal, timeoutMs } = options;
  signal?.throwIfAborted();
  const startedAt = performance.now();
  const output = options.leavesDaemon === true ? fileOutput() : null;
  try {
    const child = spawnGroup(argv, options, [
      options.stdinFile ?? (options.input === undefined ? 'ignore' : 'pipe'),
      ...(output === null ? (['pipe', 'pipe'] as const) : [output.stdout, output.stderr]),
    ]);
    const stdout = collectHead(child.stdout);
    const stderr = collectTail(child.stderr);
    child.stdin?.on('error', ignore).end(options.input);

    const exit = exitOf(child);
    const ended = await firstOf([
      exit.then(async () => {
        await Promise.race([
          Promise.all([stdout.closed, stderr.closed]),
          sleep(pipeGraceMs, undefined, { ref: false }),
        ]);
        return 'exited' as const;
      }),
      stdout.overflow.then(() => 'overflow' as const),
      ...onAbort(signal),
      ...onTimeout(timeoutMs),
    ]);
    if (ended !== 'exited') await endGroup(child.pid, options.endSignal);
    child.stdout?.destroy();
    child.stderr?.destroy();

    const text = output === null ? { stdout: stdout.text(), stderr: stderr.text() } : output.read();
    if (ended === 'aborted') throw signal?.reason;
    const { code, killedBy } = await exit;
    const facts = { exitCode: code, signal: killedBy, stderr: text.stderr };
    if (ended === 'timeout') {
      const what = `did not end within ${durationText(timeoutMs ?? 0)}, and was ended with all its processes`;
      throw new CommandError(argv, what, { ...facts, timedOut: true });
    }
    if (ended === 'overflow') {
      throw new CommandError(argv, `printed more than ${maxStdoutBytes} bytes, and was ended`, facts);
    }
    if (code === null) throw new CommandError(argv, `was ended by ${killedBy ?? 'a signal'}`, facts);
    if (!(options.acceptExit ?? [0]).includes(code)) {
      throw new CommandError(argv, `ended with exit code ${code}`, facts);
    }
    return { ...text, exitCode: code, durationMs: performance.now() - startedAt };
  } finally {
    output?.close();
  }
}

/** Starts one process of a pipeline, in a group of its own, without a shell. Throws {@link CommandError}. */
export function startProcess(argv: readonly string[], options: ProcessOptions = {}): RunningProcess {
  const { signal } = options;
  signal?.throwIfAborted();
  const child = spawnGroup(argv, options, [options.stdin ?? 'ignore', 'pipe', 'pipe']);
  const { pid, stdin, stdout } = child;
  if (stdout === null) throw new CommandError(argv, 'was started without a pipe');
  const stderr = collectTail(child.stderr);
  const closed = closeOf(child);
  let killing: Promise<void> | undefined;
  const kill = (): Promise<void> => (killing ??= endGroup(child.pid, options.endSignal));

  const done = (async () => {
    const ended = await firstOf([closed.then(() => 'exited' as const), ...onAbort(signal)]);
    if (ended === 'aborted') {
      await kill();
      stdout.destroy();
      throw signal?.reason;
    }
    const { code, killedBy } = await closed;
    return {
      exitCode: code ?? 128 + (killedBy === null ? 0 : constants.signals[killedBy]),
      stderr: stderr.text(),
    };
  })();
  done.catch(ignore);
  return { pid, stdin, stdout, done, kill };
}

/** Whether any process of a group still runs; one that only waits to be reaped has ended. */
export function groupIsAlive(pgid: number): boolean {
  return signalGroup(pgid, 0) && readdirSync('/proc').some((pid) => isLiveMember(pid, pgid));
}

function isLiveMember(pid: string, pgid: number): boolean {
  if (!/^\d+$/.test(pid)) return false;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const [state, , pgrp] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return Number(pgrp) === pgid && state !== 'Z' && state !== 'X';
  } catch {
    return false;
  }
}

function spawnGroup(
  argv: readonly string[],
  options: Pick<CommandOptions, 'cwd' | 'env' | 'onSpawn'>,
  stdio: StdioOptions,
): ChildProcess & { readonly pid: number } {
  const [file, ...args] = argv;
  if (file === undefined) throw new CommandError(argv, 'names no program');
  const child = spawn(file, args, {
    detached: true,
    shell: false,
    stdio,
    env: minimalEnvironment(options.env),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  child.on('error', ignore);
  if (child.pid === undefined) {
    throw new CommandError(
      argv,
      `could not be started: ${JSON.stringify(file)} is not on PATH or not executable`,
    );
  }
  try {
    options.onSpawn?.(child.pid);
  } catch (error) {
    // Whoever had to know of it (a journal whose disk is full) does not: nobody else would ever end it.
    signalGroup(child.pid, 'SIGKILL');
    for (const pipe of child.stdio) pipe?.destroy();
    throw error;
  }
  return Object.assign(child, { pid: child.pid });
}

function minimalEnvironment(given: Readonly<Record<string, string>> = {}): Record<string, string> {
  const { PATH, HOME, LANG } = process.env;
  return {
    PATH: PATH ?? '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: HOME ?? '/',
    LANG: LANG ?? 'C.UTF-8',
    ...given,
  };
}

async function endGroup(pgid: number, first: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  signalGroup(pgid, first);
  if (await groupGone(pgid, killAfterMs)) return;
  signalGroup(pgid, 'SIGKILL');
  await groupGone(pgid, killAfterMs);
}

async function groupGone(pgid: number, withinMs: number): Promise<boolean> {
  const until = performance.now() + withinMs;
  for (let pauseMs = 5; groupIsAlive(pgid); pauseMs = Math.min(pauseMs * 2, 100)) {
    if (performance.now() > until) return false;
    await sleep(pauseMs);
  }
  return true;
}

function signalGroup(pgid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-pgid, signal);
  } catch {
    return false;
  }
}

interface Exit {
  readonly code: number | null;
  readonly killedBy: NodeJS.Signals | null;
}

function exitOf(child: ChildProcess): Promise<Exit> {
  return new Promise((resolve) => child.once('exit', (code, killedBy) => resolve({ code, killedBy })));
}

function closeOf(child: ChildProcess): Promise<Exit> {
  return new Promise((resolve) => child.once('close', (code, killedBy) => resolve({ code, killedBy })));
}

type Ending = 'exited' | 'overflow' | 'aborted' | 'timeout';

interface Watch<T> {
  readonly happened: Promise<T>;
  readonly stop: () => void;
}

async function firstOf(endings: readonly (Promise<Ending> | Watch<Ending>)[]): Promise<Ending> {
  const watches = endings.filter((ending): ending is Watch<Ending> => 'happened' in ending);
  try {
    return await Promise.race(endings.map((ending) => ('happened' in ending ? ending.happened : ending)));
  } finally {
    for (const watch of watches) watch.stop();
  }
}

function onAbort(signal: AbortSignal | undefined): Watch<Ending>[] {
  if (signal === undefined) return [];
  let listener = ignore;
  const happened = new Promise<Ending>((resolve) => {
    listener = () => resolve('aborted');
    signal.addEventListener('abort', listener, { once: true });
    if (signal.aborted) listener();
  });
  return [{ happened, stop: () => signal.removeEventListener('abort', listener) }];
}

function onTimeout(timeoutMs: number | undefined): Watch<Ending>[] {
  if (timeoutMs === undefined) return [];
  let timer: NodeJS.Timeout | undefined;
  const happened = new Promise<Ending>((resolve) => {
    timer = setTimeout(() => resolve('timeout'), timeoutMs);
  });
  return [{ happened, stop: () => clearTimeout(timer) }];
}

function collectHead(stream: Readable | null) {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  const overflow = new Promise<void>((resolve) => {
    stream?.on('data', (chunk: Buffer) => {
      sizeBytes += chunk.length;
      if (sizeBytes > maxStdoutBytes) resolve();
      else chunks.push(chunk);
    });
  });
  return { overflow, closed: closedOf(stream), text: () => Buffer.concat(chunks).toString('utf8') };
}

function collectTail(stream: Readable | null) {
  let tail = Buffer.alloc(0);
  stream?.on('data', (chunk: Buffer) => {
    tail = Buffer.concat([tail, chunk]).subarray(-stderrTailBytes);
  });
  return { closed: closedOf(stream), text: () => tail.toString('utf8') };
}

function closedOf(stream: Readable | null): Promise<void> {
  if (stream === null) return Promise.resolve();
  return new Promise((resolve) => {
    stream.once('close', resolve);
    stream.once('error', () => resolve());
  });
}

function fileOutput() {
  const folder = mkdtempSync(join(tmpdir(), 'coldbackup-command-'));
  const open = (name: string): number => openSync(join(folder, name), 'w+', 0o600);
  const stdout = open('stdout');
  const stderr = open('stderr');
  const text = (fd: number): string => {
    const buffer = Buffer.alloc(stderrTailBytes);
    return buffer.subarray(0, readSync(fd, buffer, { position: 0 })).toString('utf8');
  };
  rmSync(folder, { recursive: true });
  return {
    stdout,
    stderr,
    read: () => ({ stdout: text(stdout), stderr: text(stderr) }),
    close: () => {
      closeSync(stdout);
      closeSync(stderr);
    },
  };
}

function lastLines(text: string): string {
  return text.trim().split('\n').slice(-8).join('\n').slice(-2_000);
}

function durationText(ms: number): string {
  return ms < 1_000 ? `${ms} ms` : `${Math.round(ms / 100) / 10} s`;
}

function ignore(): void {
  // Nothing to do.
}
