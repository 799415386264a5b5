import type { Command } from 'commander';
import type { ColdbackupClient } from '../../client/client.ts';
import type { RunRef } from '../../client/reports.ts';
import type { Phase } from '../../model/progress.ts';
import { endWith, exitAs } from '../ending.ts';
import { follow, viewFor } from '../follow.ts';
import { reportScreen } from '../screens/report.ts';
import { statusScreen } from '../screens/status.ts';
import { localTimezone, nowInstant, paint, print, printJson } from '../terminal.ts';
import { withClient, type ServerOptions } from '../with-client.ts';

interface RunOptions extends ServerOptions {
  readonly wait?: boolean;
  readonly upBy?: string;
  readonly again?: boolean;
  readonly json?: boolean;
}

export function addRun(program: Command): void {
  program
    .command('run')
    .summary('start a procedure')
    .description(
      'Starts a procedure of a site: preflight first, and one no-go ends it before anything is stopped.',
    )
    .argument('<site>')
    .argument('<procedure>')
    .option('--wait', 'stay until the end, show what happens, and exit as the run did')
    .option(
      '--up-by <time>',
      'when everything must be up, for a run outside its window: HH:MM, or an instant',
    )
    .option('--again', 'run a night a second time')
    .option('--json', 'print the report (with --wait), or the ids of the run')
    .addHelpText(
      'after',
      '\nExample:\n  coldbackup run vitam nightly --wait\n  coldbackup run vitam nightly --up-by 18:00',
    )
    .action(async (site: string, procedure: string, _, command: Command) => {
      const options = command.optsWithGlobals<RunOptions>();
      await withClient(options, (client) => run(client, site, procedure, options));
    });
}

async function run(
  client: ColdbackupClient,
  site: string,
  procedure: string,
  { wait = false, json = false, upBy, again }: RunOptions,
): Promise<void> {
  const started = await client.start(site, procedure, {
    ...(upBy !== undefined && { upBy }),
    ...(again !== undefined && { again }),
  });
  await afterStart(client, started, { wait, json });
}

/** To the end with `wait`, or to the go or no-go. */
export async function afterStart(
  client: ColdbackupClient,
  started: RunRef,
  { wait, json }: { readonly wait: boolean; readonly json: boolean },
): Promise<void> {
  if (!wait && !(await endsAtOnce(client, started, json))) return;
  const report = await follow(client, started, viewFor(json || !wait ? 'nothing' : null));
  if (json) printJson(report);
  else print(reportScreen(report, localTimezone(), paint()));
  exitAs(report);
}

const underWay: readonly Phase[] = ['steps', 'restart-wait', 'archive'];
/** An agent that does not answer holds up preflight for longer: then whoever started it looks later. */
const goWithinMs = 15_000;

/** Stays for the go or no-go: an unknown name, or a host that says no, is told to who typed the command. */
async function endsAtOnce(client: ColdbackupClient, started: RunRef, json: boolean): Promise<boolean> {
  const until = Date.now() + goWithinMs;
  for await (const { progress, copies, waits } of client.follow(started, { everyMs: 200 })) {
    if (progress.report !== null) return true;
    if (!underWay.includes(progress.phase) && Date.now() < until) continue;
    const moment = { copies, waits, now: nowInstant(), timezone: localTimezone(), paint: paint() };
    if (json) printJson(started);
    else print(`started as ${started.workflowId}\n${statusScreen(progress, moment)}`);
    endWith('complete');
    return false;
  }
  return true;
}
