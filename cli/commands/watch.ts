import type { Command } from 'commander';
import { exitAs } from '../ending.ts';
import { follow, viewFor } from '../follow.ts';
import { reportScreen } from '../screens/report.ts';
import { localTimezone, paint, print } from '../terminal.ts';
import { withClient, type ServerOptions } from '../with-client.ts';

interface WatchOptions extends ServerOptions {
  readonly json?: boolean;
}

export function addWatch(program: Command): void {
  program
    .command('watch')
    .summary('follow a run to its end')
    .description(
      'Follows the active run until it has ended, and exits as it did. Ctrl-C leaves the run as it is.',
    )
    .argument('<site>')
    .argument('[procedure]', 'where several runs of the site are active')
    .option('--json', 'print a JSON line for each change, the report last')
    .addHelpText('after', '\nExample:\n  coldbackup watch vitam')
    .action(async (site: string, procedure: string | undefined, _, command: Command) => {
      const options = command.optsWithGlobals<WatchOptions>();
      const json = options.json ?? false;
      await withClient(options, async (client) => {
        const run = await client.active(site, procedure);
        const report = await follow(client, run, viewFor(json ? 'json-lines' : null));
        print(json ? JSON.stringify({ report }) : reportScreen(report, localTimezone(), paint()));
        exitAs(report);
      });
    });
}
