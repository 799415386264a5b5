import { spawn } from 'node:child_process';

/** Thrown by every part of set-up when it cannot go on; its message says what was tried and what to do. */
export class SetupError extends Error {}

const running = new Set();

/**
 * Runs a program to its end and gives its standard output. Throws a SetupError with the command, its exit code, the end
 * of its standard error and `hint` when it fails.
 */
export async function run(command, { hint, ...options } = {}) {
  const { code, signal, stdout, stderr } = await result(command, options);
  if (code === 0) return stdout;
  throw new SetupError(
    [
      `command: ${JSON.stringify(command)}`,
      `ended with: ${code === null ? `signal ${signal}` : `exit code ${code}`}`,
      ...(lastLines(stderr) || lastLines(stdout)).map((line) => `  ${line}`),
      ...(hint ? [`what to do: ${hint}`] : []),
    ].join('\n'),
  );
}

/** Runs a program to its end, whatever its outcome. Throws a SetupError only when it cannot be started. */
export function result([file, ...args], { cwd, env } = {}) {
  return new Promise((fulfil, reject) => {
    const child = spawn(file, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    running.add(child);
    const output = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr'])
      child[stream].setEncoding('utf8').on('data', (text) => (output[stream] += text));
    child.on('error', (error) => {
      running.delete(child);
      reject(
        new SetupError(`command: ${JSON.stringify([file, ...args])}\ncould not be started: ${error.message}`),
      );
    });
    child.on('close', (code, signal) => {
      running.delete(child);
      fulfil({ code, signal, ...output });
    });
  });
}

/** Ends what is still running, with the processes it started (a compiler, a package manager's helpers). */
export function endRunning() {
  for (const { pid } of running) {
    try {
      process.kill(-pid, 'SIGTERM');
    } catch (error) {
      if (error.code !== 'ESRCH') throw error;
    }
  }
}

function lastLines(text) {
  const trimmed = text.trim();
  return trimmed ? trimmed.split('\n').slice(-15) : undefined;
}
