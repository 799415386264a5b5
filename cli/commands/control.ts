import type { Command } from 'commander';
import { assertTrustworthy } from '../../config/file-safety.ts';
import { formatProblems } from '../../config/problem.ts';
import { loadSites } from '../../config/sites.ts';
import { UsageError } from '../errors.ts';
import { tell } from '../terminal.ts';
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

/** Control reads the files again at each question; at its start it says what is wrong with them. */
async function assertServable(folderOrFile: string): Promise<void> {
  const { sites, problems } = await loadSites(folderOrFile);
  if (problems.length > 0) tell(formatProblems(problems));
  if (sites.size === 0) throw new UsageError(`no site can be served from ${folderOrFile}`);
  await Promise.all([...sites.values()].map(({ file }) => assertTrustworthy(file)));
}
