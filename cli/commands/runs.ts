import { InvalidArgumentError, type Command } from 'commander';
import { runsScreen } from '../screens/runs.ts';
import { localTimezone, nowInstant, paint, print, printJson } from '../terminal.ts';
import { withClient, type ServerOptions } from '../with-client.ts';

interface RunsOptions extends ServerOptions {
  readonly limit: number;
  readonly json?: boolean;
}

export function addRuns(program: Command): void {
  program
    .command('runs')
    .summary('runs that are active or ended')
    .description('Lists runs, the newest first, with their outcome; as long as Temporal keeps their history.')
    .argument('[site]')
    .option('--limit <number>', 'how many', positive, 20)
    .option('--json', 'print them with their reports')
    .addHelpText('after', '\nExample:\n  coldbackup runs vitam --limit 5')
    .action(async (site: string | undefined, _, command: Command) => {
      const options = command.optsWithGlobals<RunsOptions>();
      await withClient(options, async (client) => {
        const runs = await client.runs(site, { limit: options.limit });
        if (options.json === true) printJson(runs);
        else print(runsScreen(runs, { timezone: localTimezone(), now: nowInstant() }, paint()));
      });
    });
}

function positive(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('It takes a number from 1.');
  return value;
}
