#!/usr/bin/env node
import { CommanderError } from 'commander';
import { exitCodeOfError, messageOf } from './errors.ts';
import { exitCodes } from './exit-codes.ts';
import { createProgram } from './program.ts';
import { tell } from './terminal.ts';

// A pipe that is read no further, as by head.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit();
  throw error;
});

try {
  await createProgram().parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : exitCodes.usage;
  } else {
    tell(`coldbackup: ${messageOf(error)}`);
    if (process.env['COLDBACKUP_LOG'] === 'debug' && error instanceof Error) tell(error.stack ?? '');
    process.exitCode = exitCodeOfError(error);
  }
}
