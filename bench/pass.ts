import { readFile, writeFile } from 'node:fs/promises';
import { keepYoungSpaceSmall } from '../activities/system/young-space.ts';
import type { Artifact } from '../model/manifest.ts';
import type { Site, Store as StoreSpec } from '../model/site.ts';

/** `node dist/bench/pass.js REQUEST`: copies a tree to stores, or unpacks it from the first, once; says its figures. */
export interface PassRequest {
  readonly stores: readonly StoreSpec[];
  /** The file that keeps what a copy knows of its artifact, for the restore. */
  readonly note: string;
  /** To copy. */
  readonly tree?: string;
  /** Of zstd. */
  readonly level?: number;
  /** To unpack into. */
  readonly target?: string;
}

export interface PassFigures {
  readonly ms: number;
  /** Resident, at the most, of this process alone: not of `tar`, `zstd` and the like. */
  readonly peakRssMb: number;
}

const host = 'bench';
const set = { site: 'bench', procedure: 'archive', id: 'one' };
const { signal } = new AbortController();

// As every agent does, before it loads what it needs.
keepYoungSpaceSmall();
const { copyTree } = await import('../activities/archive/copy-tree.ts');
const { unpackArtifact } = await import('../activities/archive/unpack.ts');
const { openStore } = await import('../activities/stores/activities.ts');
const { DEFAULT_LIMITS } = await import('../config/schema/limits.ts');
const { note, ...request } = JSON.parse(process.argv[2] ?? '{}') as PassRequest;
const site: Site = {
  ...{ site: set.site, timezone: 'UTC', hosts: [host], limits: DEFAULT_LIMITS },
  ...{ services: {}, jobs: {}, counts: {}, databases: {}, procedures: {} },
  stores: Object.fromEntries(request.stores.map((spec, index) => [`store-${index}`, spec])),
};
const stores = Object.keys(site.stores).map((name) => openStore(site, host, name));

const startedAt = performance.now();
if (request.tree === undefined) await unpack(request.target ?? '');
else await copy(request.tree);
const ms = performance.now() - startedAt;
const figures: PassFigures = { ms, peakRssMb: await peakRssMb() };
process.stdout.write(JSON.stringify(figures));

async function copy(tree: string): Promise<void> {
  const artifact = 'tree.tar.zst';
  const { copied } = await copyTree(
    { host, roots: [tree], exclude: [], stores, set, artifact, owner: '1-bench', level: request.level },
    { signal, onProcess: () => undefined, onProgress: () => undefined },
  );
  await writeFile(note, JSON.stringify({ name: artifact, ...copied[0] }));
}

async function unpack(target: string): Promise<void> {
  const [store] = stores;
  if (store === undefined) throw new Error('no store to unpack from');
  const artifact = JSON.parse(await readFile(note, 'utf8')) as Artifact;
  const { problems } = await unpackArtifact(
    { store, set, artifact, target, links: 'into-roots' },
    { signal },
  );
  if (problems.length > 0) throw new Error(problems.join('; '));
}

/** Not what getrusage says: that begins with what the parent had when it made this process. */
async function peakRssMb(): Promise<number> {
  const status = await readFile('/proc/self/status', 'utf8');
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}
