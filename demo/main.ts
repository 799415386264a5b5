// `npm run demo`: the night of examples/vitam.yaml on real parts, on this machine, and the proof that it went well.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { loadSite } from '../config/load.ts';
import { checkoutPath } from './checkout.ts';
import { clockOf } from './clock.ts';
import { program, startCluster } from './cluster.ts';
import { fillDatabase } from './documents.ts';
import { startHosts } from './hosts.ts';
import { untilInterrupted } from './interrupt.ts';
import { startDevServer } from './local/temporal.ts';
import { createMachine, type Machine } from './machine.ts';
import { beginJobLater, runNight } from './night.ts';
import { createOutput, type Output } from './output.ts';
import { lookBefore } from './proof/before.ts';
import { prove } from './proof/prove.ts';
import { servicectl } from './services/supervised.ts';
import { demoSite } from './site.ts';
import { defineVitam, fillOffer, startVitam, stoppedService, writeSecrets } from './vitam.ts';
import { searchAttributes } from '../workflows/messages.ts';

const { values: options } = parseArgs({ options: { keep: { type: 'boolean', default: false } } });
const output = createOutput();
const exampleFile = checkoutPath('examples/vitam.yaml');
const { site } = await loadSite(exampleFile);
const machine = await createMachine(site.hosts);
process.exitCode = await untilInterrupted(
  (interrupted) => demo(machine, output, interrupted),
  () => machine.end(),
  output.line,
);
// Whatever still waits for something that is gone.
process.exit();

async function demo({ places, cleanup }: Machine, out: Output, interrupted: AbortSignal): Promise<number> {
  out.phase('A miniature of the site, below one folder');
  out.line(`${places.root}: hosts ${site.hosts.join(', ')}, each with its own folders, and a shared disk`);

  const temporal = startTemporal({ places, cleanup });
  const clusterAt = Date.now();
  const cluster = await out.during('MongoDB 7: 2 shards of 3, 3 config servers, 1 mongos', async () => {
    const [, started] = await Promise.all([fillOffer(places, site), startCluster(places, site), temporal]);
    return started;
  });
  const clusterMs = Date.now() - clusterAt;
  const { address, uiUrl } = await temporal;
  out.line(`Temporal on ${address}, its UI: ${uiUrl ?? ''}`);

  await out.during('documents in sharded collections, chunks on both shards', () =>
    fillDatabase(cluster.uri, places),
  );
  writeSecrets(places, site, cluster);
  const vitam = await defineVitam(places, site, cluster);
  const clock = clockOf(site.timezone, restartAfterSeconds(clusterMs));
  const text = demoSite(readFileSync(exampleFile, 'utf8'), {
    onHost: (host, path) => places.onHost(host, path),
    unit: (host, service) => places.unit(host, service),
    servicectl,
    countWorkflows: checkoutPath('demo/services/count-workflows'),
    portOf: vitam.portOf,
    memberOf: (name) => cluster.memberOf.get(name)?.name ?? name,
    clock,
  });
  const coldbackup = [process.execPath, join(import.meta.dirname, '..', 'cli', 'main.js')];
  await out.during(`12 Vitam services write; ${stoppedService} is stopped`, () => startVitam(site, vitam));
  await out.during('control, and an agent for each host', () =>
    startHosts(places, cleanup, {
      hosts: site.hosts,
      storePath: storePath(),
      site: text,
      address,
      coldbackup,
    }),
  );

  out.phase(
    `The night: start ${clock.start}, restart ${clock.restart}, up by ${clock.upBy} (${site.timezone})`,
  );
  const before = await lookBefore(places, site, cluster, vitam);
  beginJobLater(vitam.job, clock.jobFromMs, interrupted);
  const report = await runNight(out, { coldbackup, address, places, interrupted });

  out.phase('The proof, by looking');
  const good = await prove(out, { places, site, cluster, vitam, before, report, coldbackup, address });
  out.phase(good ? 'All of it is as it should be' : 'NOT all of it is as it should be');
  out.line(
    `Temporal's UI: ${uiUrl ?? ''}${options.keep ? '' : ' (until now; npm run demo -- --keep leaves it running)'}`,
  );
  if (options.keep) {
    out.line(`try  ${coldbackup.join(' ')} --address ${address} sets vitam`);
    out.line('Ctrl-C ends everything');
    await once(interrupted, 'abort');
  }
  return good ? 0 : 1;
}

function startTemporal({ places, cleanup }: Pick<Machine, 'places' | 'cleanup'>) {
  return startDevServer({
    command: program('temporal'),
    dbFile: places.temporalDatabase,
    ui: true,
    args: Object.values(searchAttributes).flatMap((name) => ['--search-attribute', `${name}=Keyword`]),
  }).then((server) => {
    cleanup.add(() => server.stop());
    return server;
  });
}

/**
 * Long enough for all steps on this machine, as fast as it was a moment ago; then everything is back at a time that was
 * known before, as the example wants it.
 */
function restartAfterSeconds(clusterMs: number): number {
  return Math.round(60 + (1.5 * clusterMs) / 1000);
}

function storePath(): string {
  const directory = site.stores['vault']?.directory;
  if (typeof directory !== 'string') throw new Error('the example has no store named vault for all hosts');
  return directory;
}
