import type { Command } from 'commander';
import { print, whoami } from '../terminal.ts';
import { withClient, type ServerOptions } from '../with-client.ts';

interface AbortOptions extends ServerOptions {
  readonly why: string;
  readonly by: string;
}

export function addAbort(program: Command): void {
  program
    .command('abort')
    .summary('end a run and bring everything back')
    .description(
      'Ends the active run: nothing further is done, and everything is brought back. There will be no set.',
    )
    .argument('<site>')
    .argument('[procedure]', 'where several runs of the site are active')
    .requiredOption('--why <reason>', 'for the report')
    .option('--by <name>', 'who decided', whoami())
    .addHelpText('after', '\nExample:\n  coldbackup abort vitam --why "storage is being replaced tonight"')
    .action(async (site: string, procedure: string | undefined, _, command: Command) => {
      const { by, why, ...server } = command.optsWithGlobals<AbortOptions>();
      await withClient(server, async (client) => {
        print(`accepted: ${await client.abort(site, procedure, { by, why })}`);
        print(`follow it: coldbackup watch ${site}`);
      });
    });
}
