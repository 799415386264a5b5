import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, test } from '@jest/globals';
import { CommandError, groupIsAlive, runCommand, startProcess } from '../../activities/system/command.ts';

const folder = mkdtempSync(join(tmpdir(), 'coldbackup-command-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('runCommand', () => {
  test('gives what the command printed, its exit code and how long it took', async () => {
    const result = await runCommand(['sh', '-c', 'cat; echo problem >&2; exit 3'], {
      input: 'hello',
      acceptExit: [0, 3],
    });
    expect(result).toMatchObject({ stdout: 'hello', stderr: 'problem\n', exitCode: 3 });
    expect(result.durationMs).toBeGreaterThan(0);
  });

  test('passes arguments as they are: there is no shell', async () => {
    const { stdout } = await runCommand(['printf', '%s\n', '$HOME; rm *', '`id`', '']);
    expect(stdout).toBe('$HOME; rm *\n`id`\n\n');
  });

  test('passes on PATH, HOME and LANG only, and what it was given', async () => {
    process.env['COLDBACKUP_TEST_SECRET'] = 'never seen';
    const { stdout } = await runCommand(['env'], { env: { GIVEN: 'yes' } });
    delete process.env['COLDBACKUP_TEST_SECRET'];
    const names = stdout
      .trim()
      .split('\n')
      .map((line) => line.replace(/=.*/, ''));
    expect(names.sort()).toEqual(['GIVEN', 'HOME', 'LANG', 'PATH']);
  });

  test('a failure names the command, its exit code and the end of its stderr', async () => {
    const argv = ['sh', '-c', 'echo no such thing >&2; exit 7'];
    const error = await failure(runCommand(argv));
    expect(error).toMatchObject({ argv, exitCode: 7, signal: null, timedOut: false });
    expect(error.message).toBe(
      '["sh","-c","echo no such thing >&2; exit 7"] ended with exit code 7; it said: no such thing',
    );
  });

  test('a signal from elsewhere is a failure that names the signal', async () => {
    const error = await failure(runCommand(['sh', '-c', 'kill -KILL $$']));
    expect(error).toMatchObject({ exitCode: null, signal: 'SIGKILL' });
    expect(error.message).toContain('was ended by SIGKILL');
  });

  test('a program that is not there is named', async () => {
    const error = await failure(runCommand(['coldbackup-no-such-program']));
    expect(error.message).toContain('"coldbackup-no-such-program" is not on PATH or not executable');
  });

  test('a timeout says after how long, and keeps what was said until then', async () => {
    const error = await failure(runCommand(['sh', '-c', 'echo starting >&2; sleep 60'], { timeoutMs: 300 }));
    expect(error.timedOut).toBe(true);
    expect(error.message).toContain('did not end within 300 ms');
    expect(error.message).toContain('it said: starting');
  });

  test('a grandchild does not survive a cancel, and the reason of the cancel is thrown', async () => {
    const pidFile = join(folder, 'grandchild');
    const abort = new AbortController();
    const reason = new Error('the operator said so');
    let group = 0;
    const running = runCommand(['sh', '-c', `sh -c 'echo $$ > ${pidFile}; exec sleep 60' & wait`], {
      signal: abort.signal,
      onSpawn: (pid) => (group = pid),
    });
    const pid = await pidIn(pidFile);
    abort.abort(reason);
    await expect(running).rejects.toBe(reason);
    expect(groupIsAlive(group)).toBe(false);
    expect(isRunning(pid)).toBe(false);
  });

  test('a process that ignores SIGTERM is killed', async () => {
    const pidFile = join(folder, 'stubborn');
    const script = `trap '' TERM; echo $$ > ${pidFile}; while :; do sleep 0.2; done`;
    const error = await failure(runCommand(['sh', '-c', script], { timeoutMs: 500 }));
    expect(error).toMatchObject({ timedOut: true, signal: 'SIGKILL' });
    expect(isRunning(await pidIn(pidFile))).toBe(false);
  }, 20_000);

  test('a process that could not be written down does not run on', async () => {
    const spawned: number[] = [];
    const onSpawn = (pid: number) => {
      spawned.push(pid);
      throw new Error('no space left on the disk of the journal');
    };
    expect(() => startProcess(['sleep', '60'], { onSpawn })).toThrow('no space left');
    await expect(runCommand(['sleep', '60'], { onSpawn })).rejects.toThrow('no space left');
    expect(spawned).toHaveLength(2);
    for (const pid of spawned) while (groupIsAlive(pid)) await sleep(5);
  });

  test('a cancel before the start starts nothing', async () => {
    const reason = new Error('too late');
    const file = join(folder, 'never');
    await expect(runCommand(['touch', file], { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(() => readFileSync(file)).toThrow();
  });

  test('more output than can be kept fails instead of being cut', async () => {
    const error = await failure(runCommand(['head', '-c', '20000000', '/dev/zero']));
    expect(error.message).toContain('printed more than 16777216 bytes');
  });

  test('a command that leaves a daemon is not held up by it, and the daemon lives on', async () => {
    const pidFile = join(folder, 'daemon');
    const script = `(echo $BASHPID > ${pidFile}; while :; do echo tick; sleep 0.05; done) & echo started`;
    const result = await runCommand(['bash', '-c', script], { leavesDaemon: true, timeoutMs: 5_000 });
    expect(result.stdout).toContain('started');
    const pid = await pidIn(pidFile);
    await sleep(200);
    expect(isRunning(pid)).toBe(true);
    process.kill(pid, 'SIGKILL');
  });

  test('a child that keeps the pipes open does not hold up the result', async () => {
    const pidFile = join(folder, 'holder');
    const script = `(echo $BASHPID > ${pidFile}; exec sleep 30) & echo done`;
    const result = await runCommand(['bash', '-c', script], { timeoutMs: 10_000 });
    expect(result.stdout).toBe('done\n');
    process.kill(await pidIn(pidFile), 'SIGKILL');
  });
});

describe('startProcess', () => {
  test('connects a pipeline through its streams', async () => {
    const process = startProcess(['tr', 'a-z', 'A-Z'], { stdin: 'pipe' });
    process.stdin?.end('quiet');
    let text = '';
    for await (const chunk of process.stdout) text += String(chunk);
    expect(text).toBe('QUIET');
    expect(await process.done).toEqual({ exitCode: 0, stderr: '' });
  });

  test('reports a failing exit code with its stderr instead of throwing', async () => {
    const process = startProcess(['sh', '-c', 'echo bad >&2; exit 4']);
    process.stdout.resume();
    expect(await process.done).toEqual({ exitCode: 4, stderr: 'bad\n' });
  });

  test('kill ends the whole group, and the exit code tells the signal', async () => {
    const process = startProcess(['sh', '-c', 'sleep 60 & sleep 60']);
    process.stdout.resume();
    await process.kill();
    expect(groupIsAlive(process.pid)).toBe(false);
    expect((await process.done).exitCode).toBe(143);
  });

  test('an abort ends the whole group and rejects with its reason', async () => {
    const abort = new AbortController();
    const process = startProcess(['sh', '-c', 'sleep 60 & sleep 60'], { signal: abort.signal });
    process.stdout.resume();
    const reason = new Error('stop');
    abort.abort(reason);
    await expect(process.done).rejects.toBe(reason);
    expect(groupIsAlive(process.pid)).toBe(false);
  });

  test('a program that is not there is named', () => {
    writeFileSync(join(folder, 'plain'), 'not executable');
    expect(() => startProcess([join(folder, 'plain')])).toThrow(/is not on PATH or not executable/);
  });
});

async function failure(promise: Promise<unknown>): Promise<CommandError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof CommandError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

async function pidIn(file: string): Promise<number> {
  for (;;) {
    const pid = Number(readIfThere(file));
    if (pid > 0) return pid;
    await sleep(10);
  }
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function isRunning(pid: number): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z ');
  } catch {
    return false;
  }
}
