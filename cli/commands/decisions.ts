import type { Command } from 'commander';
import type { ColdbackupClient } from '../../client/client.ts';
import { UsageError } from '../errors.ts';
import { localTimezone, nowInstant, print, whoami } from '../terminal.ts';
import { withClient, type ServerOptions } from '../with-client.ts';

interface DecisionOptions extends ServerOptions {
  readonly why: string;
  readonly by: string;
  readonly procedure?: string;
  readonly step?: string;
  readonly upBy?: string;
}

/** Who, why, and about which run; and what only some words take. */
interface Spoken {
  readonly client: ColdbackupClient;
  readonly site: string;
  readonly procedure: string | undefined;
  readonly decision: { readonly by: string; readonly why: string };
  readonly options: DecisionOptions;
}

/** `abort SITE [PROCEDURE] --why …`: the words that take nothing else. */
const plainWords = [
  {
    name: 'abort',
    word: 'abort',
    summary: 'end a run and bring everything back',
    description:
      'Ends the active run: nothing further is done, and everything is brought back. There will be no set.',
    example: 'abort vitam --why "storage is being replaced tonight"',
  },
  {
    name: 'bring-back',
    word: 'bringBack',
    summary: 'give up waiting and copying, and bring everything back now',
    description:
      'Brings everything back now. While steps run: they are given up, and there will be no set. Once all steps are done: restarts now instead of at restart.at, and the set stays.',
    example: 'bring-back vitam --why "the archive is needed at 6 today"',
  },
  {
    name: 'pause',
    word: 'pause',
    summary: 'begin no further step',
    description:
      'Begins no further step until "coldbackup resume". Copies and waits that run go on, and everything is still brought back in time.',
    example: 'pause vitam --why "looking at the storage first"',
  },
  {
    name: 'resume',
    word: 'resume',
    summary: 'go on after a pause',
    description: 'The next step begins.',
    example: 'resume vitam --why "the storage is fine"',
  },
] as const;

export function addDecisions(program: Command): void {
  for (const { name, word, summary, description, example } of plainWords)
    spoken(program, { name, args: '<site> [procedure]', summary, description, example }, (one) =>
      one.client.decide(one.site, one.procedure, word, one.decision),
    );

  spoken(
    program,
    {
      name: 'skip',
      args: '<site> <step>',
      summary: 'give up one step, and go on',
      description:
        'Gives up a step that runs, waits or asks, or that is still to come, and goes on after it. The manifest says so; a set that lacks a backup is incomplete.',
      example: 'skip vitam 2/logbook/1 --why "the job does not run on holidays"',
      procedureOption: true,
    },
    ({ client, site, procedure, decision }, step = '') =>
      client.decide(site, procedure, 'skip', { ...decision, step }),
  );
  spoken(
    program,
    {
      name: 'retry',
      args: '<site> [step]',
      summary: 'do a failed step again',
      description:
        'Does a step that failed and asks (on-failure: ask) again; or, while bringing back waits before its next round, begins that round now.',
      example: 'retry vitam 4 --why "elasticsearch was restarted by hand"',
      procedureOption: true,
    },
    ({ client, site, procedure, decision }, step) =>
      client.decide(site, procedure, 'retry', { ...decision, ...(step !== undefined && { step }) }),
  );
  spoken(
    program,
    {
      name: 'answer',
      args: '<site> <answer>',
      summary: 'answer what a run asks',
      description: 'Answers the question of the active run, as "coldbackup status" shows it.',
      example: 'answer vitam continue --why "these three workflows hang since Monday"',
      procedureOption: true,
      stepOption: true,
    },
    ({ client, site, procedure, decision, options: { step } }, answer = '') =>
      client.decide(site, procedure, 'answer', { ...decision, answer, ...(step !== undefined && { step }) }),
  );
  spoken(
    program,
    {
      name: 'extend',
      args: '<site> [procedure]',
      summary: 'give a run more time',
      description:
        'Moves up-by, and the restart with it. It counts only where the agents have it on their disks, and never goes past limits.give-up-after and limits.longest-down of the site file.',
      example: 'extend vitam --up-by 10:00 --why "the archive is closed on Sundays"',
      upByOption: true,
    },
    async ({ client, site, procedure, decision, options: { upBy = '' } }) => {
      const { timezone } = await client.progress(site, procedure);
      return client.decide(site, procedure, 'extend', {
        ...decision,
        upBy: await instantFor(upBy, timezone ?? localTimezone()),
      });
    },
  );
}

async function instantFor(upBy: string, timezone: string): Promise<string> {
  const { instantOf, WindowError } = await import('../../model/window.ts');
  try {
    return instantOf(upBy, { now: nowInstant(), timezone });
  } catch (error) {
    throw error instanceof WindowError ? new UsageError(error.message) : error;
  }
}

interface Form {
  readonly name: string;
  readonly args: string;
  readonly summary: string;
  readonly description: string;
  readonly example: string;
  readonly procedureOption?: boolean;
  readonly stepOption?: boolean;
  readonly upByOption?: boolean;
}

/** A command for a word: who and why are always said. */
function spoken(
  program: Command,
  form: Form,
  say: (spoken: Spoken, argument: string | undefined) => Promise<string>,
): void {
  const command = program
    .command(form.name)
    .summary(form.summary)
    .description(form.description)
    .arguments(form.args)
    .requiredOption('--why <reason>', 'for the report and the manifest')
    .option('--by <name>', 'who decided', whoami());
  if (form.procedureOption) command.option('--procedure <name>', 'where several runs of the site are active');
  if (form.stepOption) command.option('--step <id>', 'where several steps ask');
  if (form.upByOption)
    command.requiredOption('--up-by <time>', 'when everything must be up: HH:MM of the site, or an instant');
  command
    .addHelpText('after', `\nExample:\n  coldbackup ${form.example}`)
    .action(async (site: string, argument: string | undefined) => {
      const options = command.optsWithGlobals<DecisionOptions>();
      const procedure = form.args.endsWith('[procedure]') ? argument : options.procedure;
      const { by, why, ...server } = options;
      await withClient(server, async (client) => {
        print(
          `accepted: ${await say({ client, site, procedure, decision: { by, why }, options }, argument)}`,
        );
        print(`follow it: coldbackup watch ${site}`);
      });
    });
}
