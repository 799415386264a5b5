import { DefaultLogger, Runtime, type LogEntry } from '@temporalio/worker';
import { pino, type Logger } from 'pino';

/** JSON lines on standard error; level from COLDBACKUP_LOG (default info). */
export function createLogger(name: string): Logger {
  return pino({ name, level: process.env['COLDBACKUP_LOG'] ?? 'info' }, pino.destination(2));
}

/** Once a process, before anything else of the SDK: its own messages go where ours go. pino's arguments are reversed. */
export function installRuntime(logger: Logger): void {
  Runtime.install({
    logger: new DefaultLogger('WARN', ({ level, message, meta }: LogEntry) => {
      logger[pinoLevels[level]]({ ...meta }, message);
    }),
    // Whoever runs the worker decides what a signal means.
    shutdownSignals: [],
  });
}

const pinoLevels = { TRACE: 'trace', DEBUG: 'debug', INFO: 'info', WARN: 'warn', ERROR: 'error' } as const;
