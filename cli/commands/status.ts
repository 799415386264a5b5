import type { Command } from 'commander';
import type { ColdbackupClient } from '../../client/client.ts';
import { NoSuchRunError } from '../../client/errors.ts';
import { bringBackMs } from '../screens/plan.ts';
import { reportScreen } from '../screens/report.ts';
import { runsScreen } from '../screens/runs.ts';
import { statusScreen } from '../screens/status.ts';
import { localTimezone, nowInstant, paint, print, printJson } from '../terminal.ts';
import { withClient, type ServerOptions } from '../with-client.ts';

interface StatusOptions extends ServerOptions {
  readonly json?: boolean;
}

export function addStatus(program: Command): void {
  program
    .command('status')
    .summary('what a run does now, what is down, what can be done')
    .description(
      'The active run of a site: since when and until when, what runs, what is down, what can be done.',
    )
    .argument('<site>')
    .argument('[procedure]', 'where several runs of the site are active')
    .option('--json', 'print the progress, or the last run where none is active')
    .addHelpText('after', '\nExample:\n  coldbackup status vitam')
    .action(async (site: string, procedure: string | undefined, _, command: Command) => {
      const options = command.optsWithGlobals<StatusOptions>();
      await withClient(options, (client) => status(client, site, procedure, options));
    });
}

async function status(
  client: ColdbackupClient,
  site: string,
  procedure: string | undefined,
  { json = false }: StatusOptions,
): Promise<void> {
  const run = await client.active(site, procedure).catch((error: unknown) => {
    if (error instanceof NoSuchRunError && error.active === 0) return error;
    throw error;
  });
  if (run instanceof Error) {
    await lastRun(client, site, procedure, run, json);
    return;
  }
  const [{ progress, copies, waits }, plan] = await Promise.all([client.look(run), client.planOf(run)]);
  if (json) {
    printJson({ active: true, workflowId: run.workflowId, runId: run.runId, progress, copies, waits });
    return;
  }
  const moment = { copies, waits, now: nowInstant(), timezone: localTimezone(), paint: paint() };
  const longestMs = plan === null ? 0 : bringBackMs(plan, progress);
  print(statusScreen(progress, { ...moment, ...(longestMs > 0 && { bringBackMs: longestMs }) }));
}

async function lastRun(
  client: ColdbackupClient,
  site: string,
  procedure: string | undefined,
  none: NoSuchRunError,
  json: boolean,
): Promise<void> {
  const runs = await client.runs(site);
  const last = runs.find((run) => procedure === undefined || run.procedure === procedure);
  if (json) {
    printJson({ active: false, last: last ?? null });
    return;
  }
  print(none.message);
  if (last === undefined) return;
  const clock = { timezone: localTimezone(), now: nowInstant() };
  print(
    `\nthe last one:\n\n${last.report === null ? runsScreen([last], clock, paint()) : reportScreen(last.report, localTimezone(), paint())}`,
  );
}
