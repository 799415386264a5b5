import { InvalidArgumentError, type Command } from 'commander';
import { durationForm, durationMs, durationPattern } from '../../config/duration.ts';
import type { Patience } from '../../model/watchdog.ts';
import type { WatchdogRound } from '../../workers/watchdog.ts';
import { endWith } from '../ending.ts';
import type { exitCodes } from '../exit-codes.ts';
import { watchdogScreen } from '../screens/watchdog.ts';
import { assertServable } from '../site-file.ts';
import { nowInstant, paint, print, printJson, tell } from '../terminal.ts';
import type { ServerOptions } from '../with-client.ts';
import { asWorker } from '../worker.ts';

interface WatchdogCommand extends ServerOptions {
  readonly sites: string;
  readonly every: number;
  readonly touch?: string;
  readonly ping?: string;
  readonly grace?: number;
  readonly settle?: number;
  readonly failing?: number;
  readonly once?: boolean;
  readonly json?: boolean;
}

export function addWatchdog(program: Command): void {
  program
    .command('watchdog')
    .summary('brings back what a run left down, and watches')
    .description(
      'Asks the journals of all hosts again and again. What is held for a run that is gone, or that is stuck, it brings back. ' +
        'It tells of services that are not as they should be, nights that did not start and sets that are too old. Needs no ' +
        'control. Until SIGTERM.',
    )
    .requiredOption('--sites <folder>', 'a folder of site files, or one file')
    .option('--every <duration>', 'from one round to the next', positive, 60_000)
    .option('--touch <file>', 'write this file after each whole round')
    .option('--ping <url>', 'get this URL after each whole round', httpUrl)
    .option('--grace <duration>', 'after up-by (default: limits.grace of the site file)', positive)
    .option('--settle <duration>', 'after the end of a run (default: 30s)', positive)
    .option(
      '--failing <duration>',
      'a run whose workflow task fails so long is stuck (default: 5m)',
      positive,
    )
    .option('--once', 'one round, with the end of what it brings back')
    .option('--json', 'with --once: print what was found and done')
    .addHelpText(
      'after',
      '\nExample:\n  coldbackup watchdog --sites /etc/coldbackup/sites --touch /run/coldbackup-watchdog/alive',
    )
    .action(async (_, command: Command) => {
      const options = command.optsWithGlobals<WatchdogCommand>();
      await assertServable(options.sites);
      if (options.once === true) await once(options);
      else await always(options);
    });
}

async function always(command: WatchdogCommand): Promise<void> {
  const { runWatchdog } = await import('../../workers/watchdog.ts');
  const { openNights } = await import('../../client/nights.ts');
  const options = optionsOf(command);
  const facts = openNights(options);
  await asWorker('watchdog', ({ logger, signal }) =>
    runWatchdog({ ...options, everyMs: command.every, facts, logger, signal }),
  );
  await facts.close();
}

async function once(command: WatchdogCommand): Promise<void> {
  const [{ runWatchdogOnce }, { openNights }, { installRuntime }, { pino }] = await Promise.all([
    import('../../workers/watchdog.ts'),
    import('../../client/nights.ts'),
    import('../../workers/logging.ts'),
    import('pino'),
  ]);
  const options = optionsOf(command);
  const facts = openNights(options);
  await facts.connect();
  const logger = pino(
    { level: 'warn' },
    { write: (line) => tell(`note: ${(JSON.parse(line) as { msg: string }).msg}`) },
  );
  installRuntime(logger.child({}, { level: 'error' }));
  const round = await runWatchdogOnce({ ...options, facts, logger, signal: new AbortController().signal });
  await facts.close();
  if (command.json === true) printJson(round);
  else print(watchdogScreen(round, nowInstant(), paint()));
  endWith(endOf(round));
}

/** 4: not all is back, or it is not known. 5: not all could be looked at. 1: something was brought back, or is told. */
export function endOf({ sites, alerts, errors }: WatchdogRound): keyof typeof exitCodes {
  const left = sites.filter(({ hosts }) =>
    hosts.some(({ verdict }) => verdict !== null && verdict.kind !== 'leave'),
  );
  if (left.some(({ repaired }) => repaired === null || repaired.notBack.length > 0)) return 'notBack';
  if (errors.length > 0) return 'unreachable';
  return left.length > 0 || alerts.length > 0 ? 'failed' : 'complete';
}

function optionsOf(command: WatchdogCommand) {
  const { address, namespace, sites, touch, ping, grace, settle, failing } = command;
  const patience: Partial<Patience> = {
    ...(grace !== undefined && { graceMs: grace }),
    ...(settle !== undefined && { settleMs: settle }),
    ...(failing !== undefined && { failingMs: failing }),
  };
  return {
    ...{ sites, patience },
    ...(address !== undefined && { address }),
    ...(namespace !== undefined && { namespace }),
    ...(touch !== undefined && { touch }),
    ...(ping !== undefined && { ping }),
  };
}

function positive(words: string): number {
  const ms = durationPattern.test(words) ? durationMs(words) : 0;
  if (ms === 0) throw new InvalidArgumentError(`It takes ${durationForm}, longer than nothing.`);
  return ms;
}

function httpUrl(words: string): string {
  if (!URL.canParse(words) || !/^https?:/.test(words))
    throw new InvalidArgumentError('It takes a URL that begins with http:// or https://.');
  return words;
}
