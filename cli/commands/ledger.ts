import type { Command } from 'commander';
import { endWith } from '../ending.ts';
import { ledgerScreen } from '../screens/ledger.ts';
import { nowInstant, paint, print, printJson } from '../terminal.ts';
import { withClient, type ServerOptions } from '../with-client.ts';

interface LedgerOptions extends ServerOptions {
  readonly json?: boolean;
}

export function addLedger(program: Command): void {
  program
    .command('ledger')
    .summary('what is down on each host, and for whom')
    .description(
      'What is down on each host, and for whom, as the journals of the agents say. Exits 5 when a host does not answer.',
    )
    .argument('<site>')
    .option('--json', 'print the journals’ view')
    .addHelpText('after', '\nExample:\n  coldbackup ledger vitam')
    .action(async (site: string, _, command: Command) => {
      const options = command.optsWithGlobals<LedgerOptions>();
      await withClient(options, async (client) => {
        const answers = await client.ledger(site);
        if (options.json === true) printJson(answers);
        else print(ledgerScreen(answers, nowInstant(), paint()));
        if (answers.some(({ view }) => view === null)) endWith('unreachable');
      });
    });
}
