import type { CopyInput } from '../../model/activities.ts';
import type { Artifact, Copies } from '../../model/manifest.ts';
import type { Database, HostName, Site } from '../../model/site.ts';
import { openStore } from '../stores/activities.ts';
import { ownerOf, thisMachine } from '../system/machine.ts';
import { copyTree } from './copy-tree.ts';
import type { CopyHooks } from './copy-tree.ts';

export interface ArtifactCopy {
  readonly site: Site;
  readonly host: HostName;
  readonly input: CopyInput;
  /** Of the job: each attempt writes parts of its own. */
  readonly attempt: number;
  /** What the source is on this host, from the agent's own site file. */
  readonly roots: readonly string[];
  /** Of a copy on this host: the folder that the roots lie below. */
  readonly at?: string | undefined;
  readonly exclude: readonly string[];
  readonly hooks: CopyHooks;
}

/** Copies the source into the store and seals it. Throws as copyTree does; then nothing of it is in the store. */
export async function copyArtifact(copy: ArtifactCopy): Promise<Artifact> {
  const { artifacts } = await copyToStores(copy, [copy.input.store], 'all');
  const [artifact] = artifacts;
  if (artifact === undefined) throw new Error(`${copy.input.artifact} was sealed nowhere`);
  return artifact;
}

/** The same into several stores, from one read. */
export async function copyToStores(
  copy: Omit<ArtifactCopy, 'input'> & { readonly input: Omit<CopyInput, 'store'> },
  stores: readonly string[],
  needs: 'all' | 'any',
): Promise<Copies> {
  const { site, host, input, attempt, roots, at, exclude, hooks } = copy;
  const startedAt = new Date().toISOString();
  const { copied, failed } = await copyTree(
    {
      host,
      roots,
      ...(at !== undefined && { at }),
      exclude,
      stores: stores.map((store) => openStore(site, host, store)),
      needs,
      set: input.set,
      artifact: input.artifact,
      owner: `${input.ref.epoch}-${input.id}-${attempt}`,
      level: levelOf(site.databases[input.source.database]),
    },
    hooks,
  );
  const endedAt = new Date().toISOString();
  const owners = Object.fromEntries(
    await Promise.all(roots.map(async (root) => [root, await ownerOf(root)] as const)),
  );
  return {
    artifacts: copied.map(({ store, ...tree }) => ({
      name: input.artifact,
      ...{ store, host, database: input.source.database },
      ...tree,
      ...{ startedAt, endedAt, machine: thisMachine(), owners },
    })),
    failed: [...failed].map(([store, error]) => ({
      store,
      why: error instanceof Error ? error.message : String(error),
    })),
  };
}

/** Pages of MongoDB are compressed already: level 3 makes them 0.7 % smaller, for 1.3 times the processor time of zstd. */
function levelOf(database: Database | undefined): number | undefined {
  return database?.compress ?? (database?.engine.kind === 'mongodb' ? 1 : undefined);
}
