import type { Command } from 'commander';
import { endWith } from '../ending.ts';
import { pruneScreen } from '../screens/sets.ts';
import { paint, print, printJson } from '../terminal.ts';
import { withClient, type ServerOptions } from '../with-client.ts';

interface PruneOptions extends ServerOptions {
  readonly store?: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

export function addPrune(program: Command): void {
  program
    .command('prune')
    .summary('what retention removes, and why the rest stays')
    .description(
      'Applies the retention of the site file to every set, as each night does after it published its own, and says ' +
        'of each set why it stays or goes. Exits 1 when something could not be removed.',
    )
    .argument('<site>')
    .argument('[procedure]', 'only the sets of this procedure')
    .option('--store <name>', 'only in this store')
    .option('--dry-run', 'remove nothing')
    .option('--json', 'print the verdicts')
    .addHelpText('after', '\nExample:\n  coldbackup prune vitam --dry-run')
    .action(async (site: string, procedure: string | undefined, _, command: Command) => {
      const { store, dryRun = false, json, ...server } = command.optsWithGlobals<PruneOptions>();
      await withClient(server, async (client) => {
        const answers = await client.prune(site, {
          dryRun,
          ...(procedure !== undefined && { procedure }),
          ...(store !== undefined && { store }),
        });
        if (json === true) printJson(answers);
        else print(pruneScreen(answers, { dryRun }, paint()));
        if (answers.some(({ problems }) => problems.length > 0)) endWith('failed');
      });
    });
}
