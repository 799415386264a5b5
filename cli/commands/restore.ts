import type { Command } from 'commander';
import type { ColdbackupClient } from '../../client/client.ts';
import { endWith } from '../ending.ts';
import { UsageError } from '../errors.ts';
import { restorePlanScreen } from '../screens/restore.ts';
import { agreed, canAsk, paint, print, printJson, whoami } from '../terminal.ts';
import { withClient, type ServerOptions } from '../with-client.ts';
import { afterStart } from './run.ts';

interface RestoreOptions extends ServerOptions {
  readonly store?: string;
  readonly database?: string;
  readonly member?: string;
  readonly to?: string;
  readonly host?: string;
  readonly upBy?: string;
  readonly plan?: boolean;
  readonly yes?: boolean;
  readonly why?: string;
  readonly by: string;
  readonly wait?: boolean;
  readonly json?: boolean;
}

export function addRestore(program: Command): void {
  program
    .command('restore')
    .summary('put a set in the place of the data')
    .description(
      'Unpacks and verifies a set beside the data, stops who uses the data, moves it aside, puts the set in its place, ' +
        'and starts everything again. What is moved aside stays until you remove it; until the end whatever fails puts it back.',
    )
    .argument('<site>')
    .argument('<set>', 'its id, or the beginning of it')
    .option('--store <name>', 'where it is in several stores')
    .option('--database <name>', 'only this one of those in the set')
    .option(
      '--member <name>',
      'only this member of a replica set: it catches up with the others, which go on',
    )
    .option(
      '--to <folder>',
      'only unpack and verify it there, to be looked at: a new or empty folder below restore-to of the site file',
    )
    .option('--host <name>', "with --to: on this host (default: the store's keeper)")
    .option(
      '--up-by <time>',
      'when all must be up, restored or as before: HH:MM, or an instant (default: limits.longest-down)',
    )
    .option('--plan', 'only show what would be replaced, and whether it may; changes nothing')
    .option('--yes', 'do not ask')
    .option('--why <reason>', 'for the report')
    .option('--by <name>', 'who decided', whoami())
    .option('--wait', 'stay until the end, show what happens, and exit as the run did')
    .option('--json', 'print the plan (with --plan), the report (with --wait), or the ids of the run')
    .addHelpText(
      'after',
      '\nExample:\n  coldbackup restore vitam 2026-11-21 --plan\n  coldbackup restore vitam 2026-11-21 --database offer --why "disk of app-1 lost" --wait',
    )
    .action(async (site: string, set: string, _, command: Command) => {
      const options = command.optsWithGlobals<RestoreOptions>();
      if (options.plan !== true) assertMeant(options);
      await withClient(options, (client) => restore(client, site, set, options));
    });
}

/** Before anybody is asked anything. */
function assertMeant({ why, yes, json, to, host }: RestoreOptions): void {
  if (host !== undefined && to === undefined) throw new UsageError('--host says where --to is: give both');
  if (why === undefined) throw new UsageError('say why, for the report: --why "…" (or look first: --plan)');
  // Nothing is replaced.
  if (to !== undefined) return;
  if (yes === true || (canAsk() && json !== true)) return;
  throw new UsageError(
    'a restore replaces data, and there is no terminal to ask on: nothing was changed. Look with --plan, then say --yes',
  );
}

async function restore(
  client: ColdbackupClient,
  site: string,
  set: string,
  {
    store,
    database,
    member,
    to,
    host,
    upBy,
    plan = false,
    yes = to !== undefined,
    why = '',
    by,
    wait = false,
    json = false,
  }: RestoreOptions,
): Promise<void> {
  const what = {
    ...{ site, set },
    ...(store !== undefined && { store }),
    ...(database !== undefined && { database }),
    ...(member !== undefined && { member }),
    ...(to !== undefined && { to }),
    ...(host !== undefined && { host }),
    ...(upBy !== undefined && { upBy }),
  };
  if (plan || !yes) {
    const answer = await client.restorePlan(what);
    if (plan && json) printJson(answer);
    else print(restorePlanScreen(answer, paint()));
    const isGo = answer.checks.every(({ verdict }) => verdict !== 'no-go');
    if (!isGo) endWith('nothingChanged');
    if (plan || !isGo) return;
    if (!(await agreed('Replace this data now?'))) {
      print('nothing was changed');
      endWith('nothingChanged');
      return;
    }
  }
  await afterStart(client, await client.startRestore({ ...what, by, why }), { wait, json });
}
