import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand } from '../../activities/system/command.ts';
import type { Manifest } from '../../model/manifest.ts';
import type { Look } from './look.ts';
import type { Facts } from './facts.ts';

/** The published set, as it lies on the shared disk. */
export interface PublishedSet {
  readonly folder: string;
  readonly manifest: Manifest;
}

export async function openSet(facts: Facts): Promise<PublishedSet> {
  const [published] = facts.report.sets;
  if (!published) throw new Error('the run published no set');
  const { site, procedure, id } = published.set;
  const { stdout } = await coldbackup(facts, ['sets', 'show', site, id, '--json']);
  return {
    folder: join(facts.places.disk, site, procedure, id),
    manifest: JSON.parse(stdout) as Manifest,
  };
}

/** Once by the tool itself, and once by sha256sum, as somebody without the tool would. */
export async function proveDigests(facts: Facts, set: PublishedSet, look: Look): Promise<void> {
  const { site, id } = set.manifest.set;
  await look(
    'coldbackup sets verify: every digest is right',
    says(coldbackup(facts, ['sets', 'verify', site, id])),
  );
  await look(
    'sha256sum --check: every digest is right',
    says(runCommand(['sha256sum', '--check', '--strict', '--quiet', 'SHA256SUMS'], { cwd: set.folder })),
  );
}

/** Unpacks an artifact as a person does: with zstd and tar. Gives the folder that stands for `/`. */
export async function unpack({ places }: Facts, set: PublishedSet, artifact: string): Promise<string> {
  const folder = join(places.root, 'restored', artifact);
  mkdirSync(folder, { recursive: true });
  await runCommand([
    ...['tar', '--extract', '--use-compress-program=zstd'],
    ...['--file', join(set.folder, artifact), '--directory', folder],
  ]);
  return folder;
}

export function coldbackup({ coldbackup: argv, address }: Facts, words: readonly string[]) {
  return runCommand([...argv, '--address', address, ...words]);
}

async function says(command: Promise<unknown>): Promise<readonly string[]> {
  return command.then(
    () => [],
    (error: unknown) => [String(error)],
  );
}
