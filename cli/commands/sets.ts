import type { Command } from 'commander';
import { endWith } from '../ending.ts';
import { UsageError } from '../errors.ts';
import { setScreen, setsScreen, verificationScreen } from '../screens/sets.ts';
import { agreed, canAsk, paint, print, printJson, tell, whoami } from '../terminal.ts';
import { withClient, type ServerOptions } from '../with-client.ts';

interface SetsOptions extends ServerOptions {
  readonly json?: boolean;
}

interface SetOptions extends SetsOptions {
  readonly store?: string;
}

export function addSets(program: Command): void {
  const sets = program
    .command('sets')
    .summary('backup sets: list, show, verify, pin, remove')
    .description('Lists the backup sets of a site in all its stores, the newest first.')
    .argument('<site>')
    .argument('[procedure]', 'only the sets of this procedure')
    .option('--json', 'print the summaries')
    .addHelpText('after', '\nExample:\n  coldbackup sets vitam nightly')
    .action(async (site: string, procedure: string | undefined, _, command: Command) => {
      const options = command.optsWithGlobals<SetsOptions>();
      await withClient(options, async (client) => {
        const listing = await client.listing(site, { ...(procedure !== undefined && { procedure }) });
        if (options.json === true) printJson(listing.sets);
        else print(setsScreen(listing.sets, paint()));
        for (const { store, why } of listing.failed)
          tell(paint().yellow(`store ${store} could not be asked: ${why}`));
      });
    });
  addShow(sets);
  addVerify(sets);
  addPin(sets);
  addRemove(sets);
}

function addShow(sets: Command): void {
  sets
    .command('show')
    .summary('what is in a set')
    .description('What is in a set: its artifacts, with sizes and digests, and how they were made.')
    .argument('<site>')
    .argument('<set>', 'its id, or the beginning of it')
    .option('--store <name>', 'where it is in several stores')
    .option('--json', 'print the manifest')
    .addHelpText('after', '\nExample:\n  coldbackup sets show vitam 2026-11-21')
    .action(async (site: string, id: string, _, command: Command) => {
      const options = command.optsWithGlobals<SetOptions>();
      await withClient(options, async (client) => {
        const manifest = await client.setShow(site, id, inStore(options));
        if (options.json === true) printJson(manifest);
        else
          print(
            setScreen(manifest, await client.setProofs(site, manifest.set.id, inStore(options)), paint()),
          );
      });
    });
}

function addVerify(sets: Command): void {
  sets
    .command('verify')
    .summary('read a set again, byte by byte')
    .description(
      'Reads every byte of a set again, on every host that holds a part of it. Exits 1 when a digest is wrong.',
    )
    .argument('<site>')
    .argument('<set>', 'its id, or the beginning of it')
    .option('--store <name>', 'where it is in several stores')
    .option('--mend', 'replace what is damaged by the copies of other stores, where they are good')
    .option('--json', 'print what each host found')
    .addHelpText('after', '\nExample:\n  coldbackup sets verify vitam 2026-11-21')
    .action(async (site: string, id: string, _, command: Command) => {
      const options = command.optsWithGlobals<SetOptions & { readonly mend?: boolean }>();
      const mend = options.mend ?? false;
      await withClient(options, async (client) => {
        const verifications = await client.setVerify(site, id, { ...inStore(options), mend });
        if (options.json === true) printJson(verifications);
        else print(verificationScreen(verifications, paint()));
        if (verifications.some(({ problems }) => problems.length > 0)) endWith('failed');
      });
    });
}

function addPin(sets: Command): void {
  const pinned = (name: 'pin' | 'unpin', summary: string) =>
    sets
      .command(name)
      .summary(summary)
      .argument('<site>')
      .argument('<set>', 'its id, or the beginning of it')
      .option('--store <name>', 'where it is in several stores');
  pinned('pin', 'keep a set, whatever retention says')
    .description('Keeps a set for good: retention never removes it, until it is unpinned.')
    .requiredOption('--why <reason>', 'shown by sets and prune')
    .option('--by <name>', 'who decided', whoami())
    .addHelpText('after', '\nExample:\n  coldbackup sets pin vitam 2026-11-21 --why "before the migration"')
    .action(async (site: string, id: string, _, command: Command) => {
      const { by, why, ...options } = command.optsWithGlobals<SetOptions & { by: string; why: string }>();
      await withClient(options, async (client) => {
        print(`pinned: ${await client.setPin(site, id, { by, why }, inStore(options))}`);
      });
    });
  pinned('unpin', 'leave a set to retention again')
    .description('Leaves a pinned set to retention again.')
    .addHelpText('after', '\nExample:\n  coldbackup sets unpin vitam 2026-11-21')
    .action(async (site: string, id: string, _, command: Command) => {
      const options = command.optsWithGlobals<SetOptions>();
      await withClient(options, async (client) => {
        print(`not pinned: ${await client.setPin(site, id, null, inStore(options))}`);
      });
    });
}

interface RemoveOptions extends SetOptions {
  readonly by: string;
  readonly why: string;
  readonly yes?: boolean;
}

function addRemove(sets: Command): void {
  sets
    .command('remove')
    .summary('remove one set, whatever retention says')
    .description(
      'Removes one set from one store for good: one that is damaged, or was made by mistake. Never the newest complete set, ' +
        'the newest proven one, one that is pinned or in use, nor any while what is there is in doubt.',
    )
    .argument('<site>')
    .argument('<set>', 'its id, or the beginning of it')
    .option('--store <name>', 'where it is in several stores')
    .option('--yes', 'do not ask')
    .requiredOption('--why <reason>', "kept with what was asked, in Temporal's history")
    .option('--by <name>', 'who decided', whoami())
    .addHelpText(
      'after',
      '\nExample:\n  coldbackup sets remove vitam 2026-11-21 --store vault --why "made while the import ran"',
    )
    .action(async (site: string, id: string, _, command: Command) => {
      const { by, why, yes = false, ...options } = command.optsWithGlobals<RemoveOptions>();
      if (!yes && !canAsk())
        throw new UsageError(
          'a set is removed for good, and there is no terminal to ask on: nothing was changed. Say --yes',
        );
      await withClient(options, async (client) => {
        const remove = (dryRun: boolean) =>
          client.setRemove(site, id, { by, why }, { ...inStore(options), dryRun });
        if (!yes) {
          const { set } = await remove(true);
          print(setsScreen([set], paint()));
          if (!(await agreed(`Remove it from ${set.store} for good?`))) {
            print('nothing was changed');
            endWith('nothingChanged');
            return;
          }
        }
        const { set, problems } = await remove(false);
        print(`removed: ${set.set.id} from ${set.store}`);
        for (const problem of problems) tell(paint().red(`a part of it is still on ${problem}`));
        if (problems.length > 0) endWith('failed');
      });
    });
}

function inStore({ store }: SetOptions): { readonly store?: string } {
  return store === undefined ? {} : { store };
}
