import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { copyTree } from '../activities/archive/copy-tree.ts';
import { unpackArtifact } from '../activities/archive/unpack.ts';
import { createDirectoryStore } from '../activities/stores/directory.ts';
import type { Store } from '../activities/stores/store.ts';
import type { Artifact } from '../model/manifest.ts';

/** `node dist/bench/pass.js REQUEST`: copies a tree to stores, or unpacks it from the first, once; says its figures. */
export interface PassRequest {
  /** Directories. */
  readonly stores: readonly string[];
  /** To copy. */
  readonly tree?: string;
  /** To unpack into. */
  readonly target?: string;
}

export interface PassFigures {
  readonly ms: number;
  readonly peakRssMb: number;
}

const host = 'bench';
const set = { site: 'bench', procedure: 'archive', id: 'one' };
const { signal } = new AbortController();

const request = JSON.parse(process.argv[2] ?? '{}') as PassRequest;
const stores = request.stores.map(openDirectory);
const [first = openDirectory('')] = stores;
const note = join(first.place, 'artifact.json');

const startedAt = performance.now();
if (request.tree === undefined) await unpack(request.target ?? '');
else await copy(request.tree);
const ms = performance.now() - startedAt;
const figures: PassFigures = { ms, peakRssMb: process.resourceUsage().maxRSS / 1024 };
process.stdout.write(JSON.stringify(figures));

async function copy(tree: string): Promise<void> {
  const artifact = 'tree.tar.zst';
  const { copied } = await copyTree(
    { host, roots: [tree], exclude: [], stores, set, artifact, owner: '1-bench' },
    { signal, onProcess: () => undefined, onProgress: () => undefined },
  );
  await writeFile(note, JSON.stringify({ name: artifact, ...copied[0] }));
}

async function unpack(target: string): Promise<void> {
  const artifact = JSON.parse(await readFile(note, 'utf8')) as Artifact;
  const { problems } = await unpackArtifact(
    { store: first, set, artifact, target, links: 'into-roots' },
    { signal },
  );
  if (problems.length > 0) throw new Error(problems.join('; '));
}

function openDirectory(directory: string): Store {
  return createDirectoryStore(directory, { kind: 'directory', directory, shared: false, keeper: host }, host);
}
