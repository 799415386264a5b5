import type { DriverSpec } from '../../../model/site.ts';
import { defined, strict } from '../expect.ts';
import { argv } from '../scalars.ts';

export const commandDriver = strict({
  start: argv.describe('Starts the service; exits 0 once the start is under way or done.'),
  stop: argv.describe('Stops the service.'),
  status: argv.describe('Exit code as of LSB init scripts: 0 running, 1 to 3 stopped, 4 unknown.'),
  instance: argv
    .exactOptional()
    .describe('Prints an opaque id that changes with every start and stays readable while stopped.'),
  'last-exit': argv.exactOptional().describe('Prints the exit status of the last run as an integer.'),
  'hold-down': argv
    .exactOptional()
    .describe('Prevents every start until let-go. May be called twice. Together with let-go.'),
  'let-go': argv.exactOptional().describe('Lifts hold-down. May be called twice.'),
})
  .superRefine((raw, context) => {
    const lone = raw['hold-down'] === undefined ? 'let-go' : 'hold-down';
    if ((raw['hold-down'] === undefined) !== (raw['let-go'] === undefined))
      context.addIssue({
        code: 'custom',
        path: [lone],
        message: 'expected hold-down and let-go together: what is held down must be let go',
      });
  })
  .transform((raw): DriverSpec => {
    const { 'last-exit': lastExit, 'hold-down': holdDown, 'let-go': letGo, ...rest } = raw;
    return { kind: 'command', ...defined({ ...rest, lastExit, holdDown, letGo }) };
  });
