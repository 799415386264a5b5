import { setTimeout as sleep } from 'node:timers/promises';

const exitCodes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** Work under way notices soon that its processes are gone. */
const settleMs = 15_000;

/**
 * Runs `work` until it ends or until Ctrl-C; then `end`, always. A second Ctrl-C leaves at once: what still runs dies
 * with this process. Gives the exit code.
 */
export async function untilInterrupted(
  work: (interrupted: AbortSignal) => Promise<number>,
  end: () => Promise<void>,
  print: (text: string) => void,
): Promise<number> {
  const controller = new AbortController();
  let code: number | undefined;
  const interrupted = new Promise<'interrupted'>((resolve) => {
    for (const [signal, exitCode] of Object.entries(exitCodes))
      process.on(signal, () => {
        if (code !== undefined) process.exit(exitCode);
        code = exitCode;
        print(`\n${signal}: ending every process and removing the folder; once more leaves at once`);
        controller.abort();
        resolve('interrupted');
      });
  });
  const working = work(controller.signal).catch((error: unknown) => {
    if (!controller.signal.aborted)
      print(error instanceof Error ? (error.stack ?? error.message) : String(error));
    return 1;
  });
  const ended = await Promise.race([working, interrupted]);
  await end();
  if (ended !== 'interrupted') return ended;
  await Promise.race([working, sleep(settleMs, undefined, { ref: false })]);
  // What was still being started when the first round went.
  await end();
  return code ?? 1;
}
