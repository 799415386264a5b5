import { Option, type Command } from 'commander';
import { SiteFileError } from '../../config/problem.ts';
import { scheduled, type Scheduled } from '../../model/schedule.ts';
import type { Site } from '../../model/site.ts';
import { endWith } from '../ending.ts';
import { UsageError } from '../errors.ts';
import { scheduleChangesScreen, schedulesScreen } from '../screens/schedules.ts';
import { nowInstant, paint, print, printJson, whoami } from '../terminal.ts';
import { withClient, type ServerOptions } from '../with-client.ts';
import { afterStart } from './run.ts';

export function addSchedule(program: Command): void {
  const schedule = program
    .command('schedule')
    .summary('when nights start by themselves')
    .description('Temporal Schedules that start procedures as the site files say.')
    .addHelpText('after', '\nExample:\n  coldbackup schedule apply /etc/coldbackup/sites --dry-run');
  addApply(schedule);
  addList(schedule);
  addPause(schedule);
  addResume(schedule);
  addTrigger(schedule);
}

interface ApplyCommand extends ServerOptions {
  readonly dryRun?: boolean;
  readonly prune?: boolean;
  readonly json?: boolean;
}

function addApply(schedule: Command): void {
  schedule
    .command('apply')
    .summary('make the schedules equal to the site files')
    .description(
      'Creates, changes and deletes schedules until they say what the site files say. Only schedules of coldbackup are ' +
        'touched; what was paused stays paused.',
    )
    .argument('<sites>', 'a folder of site files, or one file')
    .option('--dry-run', 'only show the difference; exits 3 when there is one')
    .option('--prune', 'also delete schedules of sites that are not in these files')
    .option('--json', 'print what was changed')
    .addHelpText('after', '\nExample:\n  coldbackup schedule apply /etc/coldbackup/sites --dry-run')
    .action(async (place: string, _, command: Command) => {
      const {
        dryRun = false,
        prune = false,
        json = false,
        ...server
      } = command.optsWithGlobals<ApplyCommand>();
      const sites = await sitesOf(place);
      await withClient(server, async (client) => {
        const changes = await client.applySchedules(sites, { dryRun, prune });
        if (json) printJson(changes);
        else print(scheduleChangesScreen(changes, dryRun, paint()));
        const isDifferent = changes.some(({ change }) => ['create', 'change', 'delete'].includes(change));
        if (changes.some(({ change }) => change === 'not-ours')) endWith('failed');
        else if (dryRun && isDifferent) endWith('nothingChanged');
      });
    });
}

/** All of them right: a schedule of a file that cannot be read would look as if it were no longer wanted. */
async function sitesOf(place: string): Promise<readonly Site[]> {
  const { loadSites } = await import('../../config/sites.ts');
  const { sites, problems } = await loadSites(place);
  if (problems.length > 0) throw new SiteFileError(place, problems);
  if (sites.size === 0) throw new UsageError(`${place} has no site file (*.yaml)`);
  return [...sites.values()].map(({ site }) => site);
}

function addList(schedule: Command): void {
  schedule
    .command('list')
    .summary('schedules, when they start next, and what was changed by hand')
    .option('--json', 'print them')
    .addHelpText('after', '\nExample:\n  coldbackup schedule list')
    .action(async (_, command: Command) => {
      const { json = false, ...server } = command.optsWithGlobals<
        ServerOptions & { readonly json?: boolean }
      >();
      await withClient(server, async (client) => {
        const schedules = await client.schedules();
        if (json) printJson(schedules);
        else print(schedulesScreen(schedules, nowInstant(), paint()));
      });
    });
}

/** What the last option of most commands here says. */
interface WhichOptions extends ServerOptions {
  readonly of?: Scheduled;
}

function ofWhat(): Option {
  return new Option('--of <what>', 'which schedule of the procedure').choices(scheduled).default('nights');
}

interface DecisionOptions extends WhichOptions {
  readonly why: string;
  readonly by: string;
}

function addPause(schedule: Command): void {
  schedule
    .command('pause')
    .summary('no night starts until resume')
    .description('No night starts until it is resumed. A run that is active goes on: see coldbackup abort.')
    .argument('<site>')
    .argument('<procedure>')
    .requiredOption('--why <reason>', 'for whoever wonders')
    .option('--by <name>', 'who decided', whoami())
    .addOption(ofWhat())
    .addHelpText(
      'after',
      '\nExample:\n  coldbackup schedule pause vitam nightly --why "storage moves this week"',
    )
    .action(async (site: string, procedure: string, _, command: Command) => {
      const { by, why, of = 'nights', ...server } = command.optsWithGlobals<DecisionOptions>();
      await withClient(server, (client) => client.pauseSchedule(site, procedure, { by, why, of }));
      const which = of === 'nights' ? '' : ` --of ${of}`;
      print(
        `${site}/${procedure} is paused${which}. Resume it: coldbackup schedule resume ${site} ${procedure}${which}`,
      );
    });
}

function addResume(schedule: Command): void {
  schedule
    .command('resume')
    .summary('nights start again')
    .argument('<site>')
    .argument('<procedure>')
    .option('--by <name>', 'who decided', whoami())
    .addOption(ofWhat())
    .addHelpText('after', '\nExample:\n  coldbackup schedule resume vitam nightly')
    .action(async (site: string, procedure: string, _, command: Command) => {
      const { by, of, ...server } = command.optsWithGlobals<DecisionOptions>();
      await withClient(server, (client) =>
        client.resumeSchedule(site, procedure, { by, ...(of !== undefined && { of }) }),
      );
      print(`${site}/${procedure} is active. When it starts next: coldbackup schedule list`);
    });
}

interface TriggerOptions extends WhichOptions {
  readonly wait?: boolean;
  readonly json?: boolean;
}

function addTrigger(schedule: Command): void {
  schedule
    .command('trigger')
    .summary("start tonight's run now, as the schedule would")
    .description(
      'Starts the run through its schedule, also a paused one, within the window of tonight (--of drill or verify: at any time). Otherwise: ' +
        'coldbackup run SITE PROCEDURE --up-by HH:MM',
    )
    .argument('<site>')
    .argument('<procedure>')
    .addOption(ofWhat())
    .option('--wait', 'of nights: stay until the end, show what happens, and exit as the run did')
    .option('--json', 'print the report (with --wait), or the ids of the run')
    .addHelpText('after', '\nExample:\n  coldbackup schedule trigger vitam nightly --wait')
    .action(async (site: string, procedure: string, _, command: Command) => {
      const {
        wait = false,
        json = false,
        of = 'nights',
        ...server
      } = command.optsWithGlobals<TriggerOptions>();
      if (wait && of !== 'nights')
        throw new UsageError(`--wait is for nights: ${of} shows in coldbackup sets`);
      await withClient(server, async (client) => {
        const started = await client.triggerSchedule(site, procedure, { of });
        if (of === 'nights') await afterStart(client, started, { wait, json });
        else if (json) printJson(started);
        else print(`started as ${started.workflowId}\nits outcome: coldbackup sets ${site} ${procedure}`);
      });
    });
}
