import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseDocument } from 'yaml';
import { runCommand } from '../activities/system/command.ts';
import { loadSite } from '../config/load.ts';
import { build, type Built } from '../demo/build.ts';
import { checkoutPath } from '../demo/checkout.ts';
import { mongodbOf } from '../demo/cluster.ts';
import { untilInterrupted } from '../demo/interrupt.ts';
import { withAdmin } from '../demo/local/mongodb/admin.ts';
import type { Member } from '../demo/local/mongodb/server.ts';
import { waitFor } from '../demo/local/wait.ts';
import { createMachine, type Machine } from '../demo/machine.ts';
import { createOutput } from '../demo/output.ts';
import { startUnit, stopUnit, type Unit } from '../demo/services/supervised.ts';
import { stoppedService, trees, unitsOf } from '../demo/vitam.ts';
import type { Site } from '../model/site.ts';
import { mustBeEqual } from './arms.ts';
import { writeTree } from './corpus.ts';
import { median, seconds } from './figures.ts';

/**
 * `night [MB] [ROUNDS]`: the night of examples/vitam.yaml on the parts of the demo, with so many MB more in the offer,
 * beside the same night by a sequential script: the same services and members stopped in the same order, the same data
 * packed by `tar -czf`, all started one after the other, with the sleeps of the script that Vitam ships. In both there is
 * nothing to wait for, and bringing back begins when the copies are made. In turn, medians.
 */
const sizeMb = Number(process.argv[2] ?? 300);
const rounds = Number(process.argv[3] ?? 3);

/** Of deployment/demo_backup_vitam.sh in ProgrammeVitam/vitam: before the balancer is on again, and after each start. */
const scriptSleeps = { balancerMs: 7_000, serviceMs: 3_000 };
const askEveryMs = 50;

const out = createOutput();
const example = checkoutPath('examples/vitam.yaml');
const { site: named } = await loadSite(example);
const machine = await createMachine(named.hosts);
process.exit(await untilInterrupted(() => compare(machine), machine.end, out.line));

interface Night {
  readonly machine: Machine;
  readonly site: Site;
  readonly built: Built;
  /** What both arms must have in their copy, byte by byte. */
  readonly corpus: string;
  /** Services, and how long each gave no answer. */
  readonly users: readonly string[];
}

interface Downtime {
  /** From the last moment at which all answered to the first at which all do again. */
  readonly wholeMs: number;
  /** Of each service, added up. */
  readonly serviceMs: number;
}

async function compare(own: Machine): Promise<number> {
  const { places } = own;
  const file = join(places.root, 'night.yaml');
  await writeFile(file, withoutWaits(await readFile(example, 'utf8')));
  const { site } = await loadSite(file);
  const built = await build(own, out, { site, file, pace: 1 });
  const offer = trees(places, site).find(({ database }) => database === 'offer-files');
  if (offer === undefined) throw new Error('the example has no offer-files');
  const corpus = join(offer.folder, 'bench');
  await writeTree(corpus, sizeMb);
  const users = [...built.vitam.units.keys()].filter((name) => name !== stoppedService);
  const night = { machine: own, site, built, corpus, users };
  const arms = { coldbackup, script };
  const times = new Map<string, Downtime[]>(Object.keys(arms).map((name) => [name, []]));
  for (let round = 1; round <= rounds; round++)
    for (const [name, arm] of Object.entries(arms)) {
      await Promise.all([built.cluster.untilHealthy(), built.cluster.offer.untilHealthy()]);
      const down = await downtimeOf(night, () => arm(night));
      times.get(name)?.push(down);
      out.line(
        `round ${round}: ${name} down ${seconds(down.wholeMs)}, services together ${seconds(down.serviceMs)}`,
      );
    }
  out.line('\n| | all services up again after | services together |\n|---|---|---|');
  const of = (name: string, what: keyof Downtime) => median((times.get(name) ?? []).map((one) => one[what]));
  for (const name of times.keys())
    out.line(`| ${name} | ${seconds(of(name, 'wholeMs'))} | ${seconds(of(name, 'serviceMs'))} |`);
  const ratio = (what: keyof Downtime) => (of('coldbackup', what) / of('script', what)).toFixed(2);
  out.line(`| ratio | ${ratio('wholeMs')} | ${ratio('serviceMs')} |`);
  return 0;
}

/** Jobs and counts take as long in either arm, and a restart at a clock time is the site's choice. */
function withoutWaits(text: string): string {
  const document = parseDocument(text);
  const nightly = ['procedures', 'nightly'];
  document.deleteIn([...nightly, 'restart']);
  const branches = [...nightly, 'steps', 1];
  const stop = document.createNode({ stop: ['worker', 'workspace', 'processing'] }, { flow: true });
  if (!document.hasIn([...branches, 'parallel'])) throw new Error('the example has changed');
  document.setIn(branches, stop);
  return document.toString({ lineWidth: 0 });
}

async function downtimeOf({ built, users }: Night, work: () => Promise<void>): Promise<Downtime> {
  const asking = { ended: false };
  const answers = new Map<string, number[]>(users.map((name) => [name, []]));
  const askers = [...answers].map(async ([name, times]) => {
    while (!asking.ended) {
      if (await answersNow(built.vitam.portOf(name))) times.push(performance.now());
      await sleep(askEveryMs);
    }
  });
  const answered = (sinceMs: number) => [...answers.values()].every((times) => (times.at(-1) ?? 0) > sinceMs);
  await waitFor(() => answered(0), { what: 'every service to answer before', withinMs: 60_000 });
  await work();
  const endedMs = performance.now();
  await waitFor(() => answered(endedMs), { what: 'every service to answer again', withinMs: 120_000 });
  asking.ended = true;
  await Promise.all(askers);
  const gaps = [...answers.values()].map(longestGap);
  return {
    wholeMs: Math.max(...gaps.map(({ to }) => to)) - Math.min(...gaps.map(({ from }) => from)),
    serviceMs: gaps.reduce((sum, { from, to }) => sum + to - from, 0),
  };
}

function longestGap(times: readonly number[]): { readonly from: number; readonly to: number } {
  return times
    .slice(1)
    .map((to, index) => ({ from: times[index] ?? to, to }))
    .reduce((longest, gap) => (gap.to - gap.from > longest.to - longest.from ? gap : longest));
}

async function answersNow(port: number): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/admin/v1/status`, {
      signal: AbortSignal.timeout(1_000),
    });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}

async function coldbackup({ machine: { places }, built, corpus }: Night): Promise<void> {
  const { coldbackup: argv, temporal } = built;
  const command = async (...words: string[]) =>
    runCommand([...argv, '--address', temporal.address, ...words], { acceptExit: [0, 1, 3, 4, 5] });
  const upBy = new Date(Date.now() + 3_600_000).toLocaleTimeString('en-GB', { timeZone: named.timezone });
  const run = await command('run', 'vitam', 'nightly', '--wait', '--again', '--up-by', upBy);
  if (run.exitCode !== 0) throw new Error(`the night ended with ${run.exitCode}: ${run.stdout}`);
  const sets = JSON.parse((await command('sets', 'vitam', '--json')).stdout) as { set: { id: string } }[];
  const newest =
    sets
      .map(({ set }) => set.id)
      .sort()
      .at(-1) ?? '';
  const artifact = join(places.disk, 'vitam', 'nightly', newest, 'offer-files', 'files.tar.zst');
  await mustHold(corpus, artifact, places.root, 'zstd');
}

/** One thing after the other, as the manual lists them. */
async function script({ machine: { places }, site, built, corpus }: Night): Promise<void> {
  const { cluster, vitam } = built;
  const units = unitsOf(places, site, vitam);
  const unit = (name: string): Unit => units.get(name) ?? { name, folder: '' };
  const inOrder = stopsOf(site).filter((name) => name !== stoppedService);
  for (const name of inOrder) await stopUnit(unit(name));
  await withAdmin(cluster.uri, (admin) => admin.command({ balancerStop: 1 }));
  const members: Member[] = [];
  for (const set of [...cluster.shards, cluster.config, cluster.offer]) {
    const primary = await set.primary();
    await cluster.stopMember(primary);
    members.push(primary);
  }
  const archives = join(places.root, 'script');
  await rm(archives, { recursive: true, force: true });
  await mkdir(archives);
  const folders = [
    ...members.map(({ dataDir }) => dataDir),
    ...trees(places, site).map(({ folder }) => folder),
  ];
  for (const [index, folder] of folders.entries())
    await runCommand(['tar', '-czf', join(archives, `${index}.tar.gz`), '-P', folder]);
  for (const member of members) await cluster.startMember(member);
  await sleep(scriptSleeps.balancerMs);
  await withAdmin(cluster.uri, (admin) => admin.command({ balancerStart: 1 }));
  for (const name of [...inOrder].reverse()) {
    await startUnit(unit(name));
    await sleep(scriptSleeps.serviceMs);
  }
  const offer = folders.findIndex((folder) => corpus.startsWith(`${folder}/`));
  await mustHold(corpus, join(archives, `${offer}.tar.gz`), places.root, 'gzip');
}

/** The services of the procedure, in its order; those of members are in none of its lists. */
function stopsOf(site: Site): readonly string[] {
  const members = new Set(
    Object.keys(site.databases)
      .filter((name) => site.databases[name]?.engine.kind === 'mongodb')
      .flatMap((name) => Object.values(mongodbOf(site, name).members).map(({ service }) => service)),
  );
  return (site.procedures['nightly']?.steps ?? [])
    .flatMap((step) => (step.kind === 'stop' ? step.services : []))
    .filter((name) => !members.has(name));
}

/** An arm counts only if what it packed is what was there. */
async function mustHold(
  corpus: string,
  archive: string,
  root: string,
  compressor: 'zstd' | 'gzip',
): Promise<void> {
  const target = join(root, 'unpacked');
  await rm(target, { recursive: true, force: true });
  await mkdir(target);
  await runCommand(['tar', '-x', `--use-compress-program=${compressor}`, '-f', archive, '-C', target]);
  await mustBeEqual(corpus, join(target, corpus), 'plain');
  await rm(target, { recursive: true });
}
