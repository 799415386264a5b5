import { Command } from 'commander';
import { version } from '../workers/version.ts';
import { addAgent } from './commands/agent.ts';
import { addCheck } from './commands/check.ts';
import { addControl } from './commands/control.ts';
import { addDecisions } from './commands/decisions.ts';
import { addDev } from './commands/dev.ts';
import { addDrill } from './commands/drill.ts';
import { addHosts } from './commands/hosts.ts';
import { addLedger } from './commands/ledger.ts';
import { addPlan } from './commands/plan.ts';
import { addPrune } from './commands/prune.ts';
import { addRecover } from './commands/recover.ts';
import { addRestore } from './commands/restore.ts';
import { addRun } from './commands/run.ts';
import { addRuns } from './commands/runs.ts';
import { addSchedule } from './commands/schedule.ts';
import { addSchema } from './commands/schema.ts';
import { addSets } from './commands/sets.ts';
import { addStatus } from './commands/status.ts';
import { addWatch } from './commands/watch.ts';
import { addWatchdog } from './commands/watchdog.ts';

/** Every command with its options; run by `main.ts`. */
export function createProgram(): Command {
  const program = new Command('coldbackup')
    .description('Ordered cold backups that bring every service back, on time.')
    .version(version)
    .option('--address <host:port>', 'of Temporal (default: TEMPORAL_ADDRESS, temporal.toml, localhost:7233)')
    .option('--namespace <name>', 'of Temporal (default: TEMPORAL_NAMESPACE, temporal.toml, default)')
    .showSuggestionAfterError()
    .showHelpAfterError('(coldbackup --help lists the commands, coldbackup COMMAND --help shows one)')
    .exitOverride()
    .addHelpText(
      'after',
      '\nExample:\n  coldbackup run vitam nightly --wait\n\nExit codes: 0 complete, 1 failed but all is back, 2 usage, 3 nothing was changed, 4 NOT all is back, 5 no answer',
    );

  for (const add of [
    ...[
      addRun,
      addStatus,
      addWatch,
      addDecisions,
      addRuns,
      addPlan,
      addHosts,
      addLedger,
      addSets,
      addPrune,
      addDrill,
      addRestore,
      addSchedule,
      addRecover,
    ],
    ...[addCheck, addSchema, addDev, addControl, addWatchdog, addAgent],
  ])
    add(program);
  return program;
}
