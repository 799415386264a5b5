import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onPath } from '#components';
import {
  borgArm,
  bytesIn,
  coldbackupArm,
  emptied,
  mustBeEqual,
  resticArm,
  tarArm,
  type Arm,
} from './arms.ts';
import { writeDatabases } from './databases.ts';
import { writeSmallFiles, writeTree } from './corpus.ts';
import { median, seconds } from './figures.ts';

/**
 * `archive [MB] [ROUNDS]`, `archive --databases [MB OF EACH] [ROUNDS]` or `archive --files N [ROUNDS]`: a whole backup, every digest taken and all of it on the disk,
 * and a whole restore, every digest compared, beside other tools on the same tree, in turn. In a round that is not
 * counted each arm proves that what it restores is the tree.
 */
const ours = 'coldbackup';
const arms: readonly Arm[] = [
  coldbackupArm(ours, ['store']),
  coldbackupArm('coldbackup, compress: 1', ['store'], 1),
  coldbackupArm('coldbackup, two stores', ['store', 'second']),
  tarArm(
    'tar | zstd -3, no digests',
    'tar -C "$1" -cf - . | zstd -3 -q -f -o "$2"',
    'zstd -dcq "$2" | tar -C "$1" -xf -',
  ),
  ...(onPath('restic') !== undefined ? [resticArm()] : []),
  ...(onPath('borg') !== undefined ? [borgArm()] : []),
  tarArm(
    'tar -czf, sha256sum',
    'tar -C "$1" -czf "$2" .; sha256sum "$2" > "$2.sha256"',
    'tar -C "$1" -xzf "$2"',
  ),
];

const words = process.argv.slice(2);
const trees = {
  '--files': {
    ...{ amount: 1_000_000, what: (count: number) => `${count} small files` },
    write: (tree: string, count: number) => writeSmallFiles(tree, count, 1024),
  },
  '--databases': {
    ...{ amount: 1_024, what: (mb: number) => `two shards of MongoDB and a MariaDB of ${mb} MB each` },
    write: writeDatabases,
  },
  '--tree': { amount: 1_024, what: (mb: number) => `a tree of ${mb} MB`, write: writeTree },
};
const kind = words[0] === '--files' || words[0] === '--databases' ? words[0] : '--tree';
const { write, what } = trees[kind];
const [amount = trees[kind].amount, rounds = 3] = words.filter((word) => word !== kind).map(Number);
const chosen =
  kind === '--files' ? arms.filter(({ name }) => name === ours || name.startsWith('tar | zstd')) : arms;
const folder = await mkdtemp(join(tmpdir(), 'coldbackup-bench-'));
try {
  await race(join(folder, 'tree'));
} finally {
  await rm(folder, { recursive: true, force: true });
}

interface Sample {
  readonly backups: number[];
  readonly restores: number[];
  peakRssMb: number;
  sizeBytes: number;
}

async function race(tree: string): Promise<void> {
  say(`writing ${what(amount)} …`);
  await write(tree, amount);
  say(`${((await bytesIn(tree)) / 1e6).toFixed(0)} MB on the disk`);
  const samples = new Map<string, Sample>(
    chosen.map(({ name }) => [name, { backups: [], restores: [], peakRssMb: 0, sizeBytes: 0 }]),
  );
  for (let round = 0; round <= rounds; round++) {
    say(round === 0 ? 'a round that proves, and warms the cache' : `round ${round} of ${rounds}`);
    for (const arm of chosen) await runArm(arm, samples.get(arm.name), tree, round === 0);
  }
  report(samples, await bytesIn(tree));
}

async function runArm(arm: Arm, sample: Sample | undefined, tree: string, proves: boolean): Promise<void> {
  const place = await emptied(join(folder, 'arm'));
  const target = await emptied(join(folder, 'restored'));
  await arm.prepare?.(place);
  const backup = await arm.backup(tree, place);
  const restore = await arm.restore?.(place, target, tree);
  say(
    `  ${arm.name}: backup ${seconds(backup.ms)}${restore === undefined ? '' : `, restore ${seconds(restore.ms)}`}`,
  );
  if (proves && restore !== undefined) await mustBeEqual(tree, restore.at, arm.keeps);
  if (proves || sample === undefined) return;
  sample.backups.push(backup.ms);
  if (restore !== undefined) sample.restores.push(restore.ms);
  sample.peakRssMb = Math.max(sample.peakRssMb, backup.peakRssMb ?? 0, restore?.peakRssMb ?? 0);
  sample.sizeBytes = await bytesIn(place);
}

function report(samples: ReadonlyMap<string, Sample>, treeBytes: number): void {
  const base = samples.get(ours);
  say(
    '\n| | backup | coldbackup ÷ it | restore | coldbackup ÷ it | size | peak memory |\n|---|---|---|---|---|---|---|',
  );
  for (const [name, sample] of samples) {
    const times = (of: 'backups' | 'restores') => {
      const own = sample[of];
      if (own.length === 0) return ['-', '-'];
      const ratio = median(base?.[of] ?? []) / median(own);
      return [seconds(median(own)), name === ours ? '' : ratio.toFixed(2)];
    };
    const memory = sample.peakRssMb > 0 ? `${sample.peakRssMb.toFixed(0)} MB` : '';
    const size = `1/${(treeBytes / sample.sizeBytes).toFixed(2)}`;
    say(
      `| ${[name.replace('|', '\\|'), ...times('backups'), ...times('restores'), size, memory].join(' | ')} |`,
    );
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
