// `npm run demo`: the night of examples/vitam.yaml on real parts, on this machine, and the proof that it went well.
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { loadSite } from '../config/load.ts';
import { build, scratchOf } from './build.ts';
import { checkoutPath } from './checkout.ts';
import { untilInterrupted } from './interrupt.ts';
import { createMachine, type Machine } from './machine.ts';
import { loseEverything } from './disaster.ts';
import { beginJobLater, runDrill, runNight, runRestore, type NightOptions } from './night.ts';
import { createOutput } from './output.ts';
import { lookBefore } from './proof/before.ts';
import type { Facts } from './proof/facts.ts';
import { prove } from './proof/prove.ts';
import { killUnit } from './services/supervised.ts';
import { proveRestored } from './proof/restored.ts';

const options = new Command('npm run demo --')
  .description(
    'Runs the night of examples/vitam.yaml on real parts, on this machine, and proves that it went well.',
  )
  .option('--keep', 'leave everything running until Ctrl-C', false)
  .option('--restore', 'then lose all data, and restore the whole by one command', false)
  .option('--drill', 'then restore the set into scratch servers, by one command, and compare it', false)
  .option(
    '--pace <factor>',
    'leave so many times the time for the steps: for a machine that is busy',
    paceOf,
    1,
  )
  .parse()
  .opts<{ keep: boolean; restore: boolean; drill: boolean; pace: number }>();
const { site, file } = await loadSite(checkoutPath('examples/vitam.yaml'));
const out = createOutput();
const machine = await createMachine(site.hosts);
// Whatever still waits for something that is gone must not hold this process.
process.exit(await untilInterrupted((interrupted) => demo(machine, interrupted), machine.end, out.line));

async function demo(machine: Machine, interrupted: AbortSignal): Promise<number> {
  const { places } = machine;
  out.phase('A miniature of the site, below one folder');
  out.line(`${places.root}: hosts ${site.hosts.join(', ')}, each with its own folders, and a shared disk`);
  const built = await build(machine, out, { site, file, pace: options.pace });
  const { cluster, vitam, clock, temporal, coldbackup } = built;
  const { address, uiUrl = '' } = temporal;

  out.phase(
    `The night: from ${clock.start}, restart ${clock.restart}, up by ${clock.upBy} (${site.timezone})`,
  );
  const before = await lookBefore(places, site, cluster, vitam);
  beginJobLater(vitam.job, clock, interrupted);
  const night = { coldbackup, address, places, interrupted };
  const report = await runNight(out, night);

  out.phase('The proof, by looking');
  const facts = { places, site, cluster, vitam, before, report, coldbackup, address };
  let good = await prove(out, facts, async () => {
    if (options.keep && !options.restore) return;
    await Promise.all([...vitam.units.values()].map(killUnit));
  });
  if (options.drill) good = (await drillSet(facts, night)) && good;
  if (options.restore) good = (await restoreAll(machine, facts, night)) && good;
  out.phase(good ? 'All of it is as it should be' : 'NOT all of it is as it should be');
  if (!options.keep) {
    out.line(`Temporal’s UI was on ${uiUrl}; npm run demo -- --keep leaves everything running`);
    return good ? 0 : 1;
  }
  out.line(`Temporal’s UI  ${uiUrl}`);
  out.line(`try            ${coldbackup.join(' ')} --address ${address} sets vitam`);
  out.line('Ctrl-C ends everything');
  await once(interrupted, 'abort');
  return good ? 0 : 1;
}

function paceOf(text: string): number {
  const factor = Number(text);
  if (factor >= 1 && factor <= 10) return factor;
  throw new InvalidArgumentError('Expected a number from 1 to 10.');
}

/** The sharded cluster and the offer are restored where nobody is disturbed, while all of it is there. */
async function drillSet({ places }: Facts, night: NightOptions): Promise<boolean> {
  out.phase('The drill of the set, by one command');
  const proven = await out.during('restored into scratch servers, one part after the other', () =>
    runDrill(out, night),
  );
  const left = await readdir(join(scratchOf(places, site), 'coldbackup', site.site)).catch(() => []);
  return [
    out.check('the drill has proven the set', proven ? [] : ['see above']),
    out.check('nothing is left in the scratch folder', left),
  ].every(Boolean);
}

/** All data is lost, and comes back by one command. */
async function restoreAll(machine: Machine, facts: Facts, night: NightOptions): Promise<boolean> {
  const set = facts.report.sets[0]?.set.id;
  if (set === undefined) return false;
  out.phase('All data is lost');
  const lost = await out.during(
    'every service and server killed, every data folder emptied, all started again on empty folders',
    () => loseEverything(machine, site, facts.cluster, facts.vitam),
  );
  out.phase('The restore of the whole, by one command');
  const restored = await runRestore(out, night, set);
  out.phase('The proof of the restore, by looking');
  return proveRestored(out, facts, lost, restored);
}
