import type { Command } from 'commander';
import { assertServable } from '../site-file.ts';
import type { ServerOptions } from '../with-client.ts';
import { asWorker } from '../worker.ts';

interface ControlOptions extends ServerOptions {
  readonly reports?: string;
}

export function addControl(program: Command): void {
  program
    .command('control')
    .summary('the worker that runs the procedures')
    .description('Runs the procedures of all site files in a folder (or of one file), until SIGTERM.')
    .argument('<sites>', 'a folder of site files, or one file')
    .option('--reports <folder>', 'keep the report of every run here, as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  coldbackup control /etc/coldbackup/sites --reports /var/lib/coldbackup/reports',
    )
    .action(async (sites: string, _, command: Command) => {
      const options = command.optsWithGlobals<ControlOptions>();
      await assertServable(sites);
      const { runControl } = await import('../../workers/control.ts');
      await asWorker('control', ({ logger, signal }) => runControl({ ...options, sites, logger, signal }));
    });
}
