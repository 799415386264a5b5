import { Option, type Command } from 'commander';
import type { Entry } from '../../model/ledger.ts';
import { endWith } from '../ending.ts';
import { changeName } from '../screens/ledger.ts';
import { count } from '../screens/text.ts';
import { loadForHost } from '../site-file.ts';
import { print, printJson, tell, whoami } from '../terminal.ts';

interface RecoverOptions {
  readonly host: string;
  readonly site: string;
  readonly state: string;
  readonly dryRun?: boolean;
  readonly ifOverdue?: boolean;
  readonly by: string;
  readonly why?: string;
  readonly json?: boolean;
}

export function addRecover(program: Command): void {
  program
    .command('recover')
    .summary('bring a host back from its journal, without Temporal')
    .description(
      'On the host itself, as the user of its agent: brings back what the journal says is down, without Temporal and ' +
        'without the agent, which is ended first. The run that held the host can do nothing there any more.',
    )
    .requiredOption('--host <name>', 'as the site file calls this host')
    .requiredOption('--site <file>', 'the site file')
    .option('--state <folder>', 'where the agent keeps its journal', '/var/lib/coldbackup')
    .option('--dry-run', 'only say what would be brought back, in this order')
    .addOption(
      new Option(
        '--if-overdue',
        'only when the agent should have brought back alone (up-by and grace), and is gone, suspended or hung',
      ).conflicts('dryRun'),
    )
    .option('--by <name>', 'who decided', whoami())
    .option('--why <reason>', 'for the journal (default: "by hand", or "overdue")')
    .option('--json', 'print the outcome')
    .addHelpText(
      'after',
      '\nExample:\n  coldbackup recover --host app-1 --site /etc/coldbackup/vitam.yaml --dry-run',
    )
    .action((options: RecoverOptions) => recover(options));
}

async function recover(options: RecoverOptions): Promise<void> {
  const { host, site: file, state, dryRun = false, ifOverdue = false, by, json = false } = options;
  const why = options.why ?? (ifOverdue ? 'overdue' : 'by hand');
  const loaded = await loadForHost(file, host);
  const [{ recoverHost }, { pino }] = await Promise.all([import('../../workers/recover.ts'), import('pino')]);
  const recovered = await recoverHost({
    ...{ loaded, host, stateFolder: state, dryRun, ifOverdue, why },
    by: `recover (${by})`,
    logger: pino(
      { level: 'warn' },
      { write: (line) => tell(`note: ${(JSON.parse(line) as { msg: string }).msg}`) },
    ),
    onUndo: (entry, outcome) => {
      if (!json) print(undoLine(entry, outcome, dryRun));
    },
  });
  const { held, undone, notBack, leftAlone } = recovered;
  if (json) printJson(recovered);
  else if (leftAlone !== undefined) print(`${host}: nothing is done: ${leftAlone}`);
  else if (!held) print(`${host}: free, nothing is held and nothing is to be brought back`);
  else if (dryRun) print(`dry run: ${count(undone.length, 'change')} would be brought back on ${host}`);
  else if (notBack.length === 0)
    print(`all is back on ${host} (${count(undone.length, 'change')}); the host is free`);
  else print(`NOT BACK on ${host}: ${notBack.length}. Repair it, then run this again: the journal keeps it`);
  if (notBack.length > 0) endWith('notBack');
}

function undoLine(
  entry: Entry,
  outcome: { did: string } | { error: string } | null,
  dryRun: boolean,
): string {
  const what = changeName(entry);
  if (outcome === null) return dryRun ? `${what}: would be brought back` : `${what} …`;
  return 'did' in outcome ? `${what}: ${outcome.did}` : `${what}: NOT BACK: ${outcome.error}`;
}
