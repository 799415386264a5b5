import type { Command } from 'commander';
import { endWith } from '../ending.ts';
import { planScreen } from '../screens/plan.ts';
import { paint, print, printJson } from '../terminal.ts';
import { withClient, type ServerOptions } from '../with-client.ts';

interface PlanOptions extends ServerOptions {
  readonly upBy?: string;
  readonly json?: boolean;
}

export function addPlan(program: Command): void {
  program
    .command('plan')
    .summary('what a run would do, and whether it may')
    .description('The resolved plan of a run and its go/no-go table; changes nothing. Exits 3 on a no-go.')
    .argument('<site>')
    .argument('<procedure>')
    .option('--up-by <time>', 'as for a run outside its window: HH:MM, or an instant')
    .option('--json', 'print the plan and the checks')
    .addHelpText('after', '\nExample:\n  coldbackup plan vitam nightly')
    .action(async (site: string, procedure: string, _, command: Command) => {
      const { upBy, json = false, ...server } = command.optsWithGlobals<PlanOptions>();
      await withClient(server, async (client) => {
        const answer = await client.plan(site, procedure, upBy === undefined ? {} : { upBy });
        if (json) printJson(answer);
        else print(planScreen(answer.plan, answer.checks, paint()));
        if (answer.checks.some(({ verdict }) => verdict === 'no-go')) endWith('nothingChanged');
      });
    });
}
