import { join } from 'node:path';
import { createCleanup, type Cleanup } from '../demo/local/cleanup.ts';
import type { Store } from '../model/site.ts';
import { makeRepository } from '../test/stores/rigs/restic.ts';
import { startMinio } from '../test/stores/rigs/s3.ts';
import { startSshd } from '../test/stores/rigs/sftp.ts';
import { directoryStore, mustBeEqual, pass } from './arms.ts';
import { writeTree } from './corpus.ts';
import { seconds } from './figures.ts';

/**
 * `memory [MB]`, as root: what the process of a copy needs at the most, into each kind of store and into two from one
 * read, and that of a restore. Real servers of this machine; a process of its own for each pass.
 */
const sizeMb = Number(process.argv[2] ?? 500);
const kinds = {
  directory: async (cleanup: Cleanup): Promise<Store> => directoryStore(await cleanup.folder()),
  sftp: async (cleanup: Cleanup): Promise<Store> => (await startSshd(cleanup)).spec,
  s3: async (cleanup: Cleanup): Promise<Store> => (await startMinio(cleanup)).spec,
  restic: async (cleanup: Cleanup): Promise<Store> => (await makeRepository(cleanup)).spec,
};
const arms: readonly (readonly (keyof typeof kinds)[])[] = [
  ...([['directory'], ['sftp'], ['s3'], ['restic']] as const),
  ...([
    ['directory', 'directory'],
    ['directory', 's3'],
    ['sftp', 's3'],
    ['s3', 's3'],
  ] as const),
];

const cleanup = createCleanup();
try {
  const tree = join(await cleanup.folder(), 'tree');
  process.stdout.write(`writing a tree of ${sizeMb} MB …\n`);
  await writeTree(tree, sizeMb);
  process.stdout.write('\n| into | copy | peak memory | restore | peak memory |\n|---|---|---|---|---|\n');
  for (const arm of arms) await measure(arm, tree);
} finally {
  await cleanup.run();
}

async function measure(names: readonly (keyof typeof kinds)[], tree: string): Promise<void> {
  const own = createCleanup();
  try {
    const stores: Store[] = [];
    for (const name of names) stores.push(await kinds[name](own));
    const target = await own.folder();
    const request = { stores, note: join(await own.folder(), 'artifact.json') };
    const copy = await pass({ ...request, tree });
    const restore = await pass({ ...request, target });
    await mustBeEqual(tree, join(target, tree), 'all');
    const cells = [copy, restore].flatMap(({ ms, peakRssMb }) => [seconds(ms), `${peakRssMb.toFixed(0)} MB`]);
    process.stdout.write(`| ${[names.join(' and '), ...cells].join(' | ')} |\n`);
  } finally {
    await own.run();
  }
}
