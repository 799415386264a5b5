import type { Command } from 'commander';
import { endWith } from '../ending.ts';
import { hostsScreen } from '../screens/hosts.ts';
import { paint, print, printJson } from '../terminal.ts';
import { withClient, type ServerOptions } from '../with-client.ts';

interface HostsOptions extends ServerOptions {
  readonly json?: boolean;
}

export function addHosts(program: Command): void {
  program
    .command('hosts')
    .summary('which agents are there')
    .description(
      "Which agents are there, with which version, the same site file as control's, and the same clock. A host that does " +
        'not answer is waited for a minute. Exits 5 when one does not answer, 1 when a site file differs.',
    )
    .argument('<site>')
    .option('--json', 'print the answers')
    .addHelpText('after', '\nExample:\n  coldbackup hosts vitam')
    .action(async (site: string, _, command: Command) => {
      const options = command.optsWithGlobals<HostsOptions>();
      await withClient(options, async (client) => {
        const answers = await client.hosts(site);
        if (options.json === true) printJson(answers);
        else print(hostsScreen(answers, paint()));
        if (answers.some(({ alive }) => !alive)) endWith('unreachable');
        else if (answers.some(({ digest }) => digest === 'differs')) endWith('failed');
      });
    });
}
