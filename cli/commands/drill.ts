import type { Command } from 'commander';
import { endWith } from '../ending.ts';
import { drillScreen, drillsScreen } from '../screens/drill.ts';
import { paint, print, printJson } from '../terminal.ts';
import { withClient, type ServerOptions } from '../with-client.ts';

interface DrillOptions extends ServerOptions {
  readonly store?: string;
  readonly wait?: boolean;
  readonly history?: boolean;
  readonly json?: boolean;
}

export function addDrill(program: Command): void {
  program
    .command('drill')
    .summary('prove a set by restoring it')
    .description(
      'Restores a set into scratch instances that reach nobody, compares it with what was taken at rest, and records the outcome in the set. No service is touched.',
    )
    .argument('<site>')
    .argument('[set]', 'its id, or the beginning of it; left out: the newest')
    .option(
      '--store <name>',
      'where it is in several stores; left out: without a set, the one that was drilled least recently',
    )
    .option('--wait', 'stay until the end, and exit 1 when the set is not what it was')
    .option('--history', 'drill nothing: show the drills of the sets that are there, and what a restore took')
    .option('--json', 'print the proof (with --wait), the history, or the ids of the drill')
    .addHelpText('after', '\nExample:\n  coldbackup drill vitam --wait\n  coldbackup drill vitam --history')
    .action(async (site: string, set: string | undefined, _, command: Command) => {
      const { store, wait, history, json, ...server } = command.optsWithGlobals<DrillOptions>();
      await withClient(server, async (client) => {
        if (history === true) {
          const drills = (await client.drills(site)).filter(
            (one) => one.set.id.startsWith(set ?? '') && (store === undefined || one.store === store),
          );
          if (json === true) printJson(drills);
          else print(drillsScreen(drills, paint()));
          return;
        }
        const started = await client.startDrill({
          site,
          ...(set !== undefined && { set }),
          ...(store !== undefined && { store }),
        });
        if (wait !== true) {
          if (json === true) printJson(started);
          else print(`started as ${started.workflowId}\nits outcome: coldbackup sets ${site}`);
          return;
        }
        const drill = await client.drillResult(started);
        if (json === true) printJson(drill);
        else print(drillScreen(drill, paint()));
        if (!drill.proof.passed) endWith('failed');
      });
    });
}
