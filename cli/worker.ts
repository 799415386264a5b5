import type { Logger } from 'pino';
import { tell } from './terminal.ts';

/** What a worker of the command line works with: its log, and a signal that SIGTERM and SIGINT abort. */
export async function asWorker(
  name: string,
  work: (worker: { readonly logger: Logger; readonly signal: AbortSignal }) => Promise<void>,
): Promise<void> {
  const { createLogger, installRuntime } = await import('../workers/logging.ts');
  const logger = createLogger(name);
  installRuntime(logger);
  const ending = endingSignal();
  try {
    await work({ logger, signal: ending.signal });
  } catch (error) {
    // Asked to end while it was still waiting for the server.
    if (!ending.signal.aborted || !isAbort(error)) throw error;
  } finally {
    ending.stop();
  }
}

/** The first SIGTERM or SIGINT asks to end, the second ends at once. */
function endingSignal(): { readonly signal: AbortSignal; readonly stop: () => void } {
  const controller = new AbortController();
  const end = (name: NodeJS.Signals): void => {
    if (controller.signal.aborted) process.exit(name === 'SIGINT' ? 130 : 143);
    tell(`${name}: ending; once more ends at once`);
    controller.abort();
  };
  process.on('SIGTERM', end).on('SIGINT', end);
  return { signal: controller.signal, stop: () => void process.off('SIGTERM', end).off('SIGINT', end) };
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}
