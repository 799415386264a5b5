import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { archiveList, trees, type Tree } from '../vitam.ts';
import type { Look } from './look.ts';
import type { Facts } from './facts.ts';
import { unpack, type PublishedSet } from './set.ts';

/** The files of each tree are those that were acknowledged before their writer stopped, digest by digest. */
export async function proveFiles(facts: Facts, set: PublishedSet, look: Look): Promise<void> {
  for (const tree of trees(facts.places, facts.site)) {
    const expected = expectedDigests(facts, tree);
    await look(
      `${tree.database}: its ${expected.size} files are in the copy, each with its digest, and no other`,
      compare(facts, set, tree, expected),
    );
  }
}

async function compare(
  facts: Facts,
  set: PublishedSet,
  tree: Tree,
  expected: ReadonlyMap<string, string>,
): Promise<readonly string[]> {
  const artifact = set.manifest.artifacts.find(({ database }) => database === tree.database);
  if (!artifact) return ['there is no copy of them'];
  const root = await unpack(facts, set, artifact.name);
  return differentFiles(expected, digestsIn(join(root, tree.folder)));
}

export function differentFiles(
  expected: ReadonlyMap<string, string>,
  found: ReadonlyMap<string, string>,
): readonly string[] {
  return [
    ...[...expected].flatMap(([path, digest]) => {
      const copied = found.get(path);
      if (copied === digest) return [];
      return [copied === undefined ? `${path} is missing` : `${path} is another`];
    }),
    ...[...found.keys()]
      .filter((path) => !expected.has(path))
      .map((path) => `${path} was never acknowledged`),
  ];
}

export function digestsIn(folder: string): ReadonlyMap<string, string> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return new Map(
    entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => [relative(folder, path), createHash('sha256').update(readFileSync(path)).digest('hex')]),
  );
}

/** As the writers wrote them down, in the form of sha256sum. */
export function expectedDigests({ places }: Facts, { database, usedBy }: Tree): ReadonlyMap<string, string> {
  const files = [
    archiveList(places, database),
    ...usedBy.map((service) => join(places.acknowledged, `${service}-1.sha256`)),
  ];
  return new Map(
    files
      .flatMap((name) => readFileSync(name, 'utf8').split('\n').filter(Boolean))
      .map((line): [string, string] => [line.slice(66), line.slice(0, 64)]),
  );
}
