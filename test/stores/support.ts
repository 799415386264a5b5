import { join } from 'node:path';
import { expect } from '@jest/globals';
import { DEFAULT_LIMITS } from '../../config/schema/limits.ts';
import { StoreError } from '../../activities/stores/names.ts';
import { copyArtifact, type ArtifactCopy } from '../../activities/archive/copy-artifact.ts';
import type { Artifact, Manifest, SetRef } from '../../model/manifest.ts';
import type { Site, Store } from '../../model/site.ts';

export function siteWith(directory: string | Readonly<Record<string, string>>, shared = true): Site {
  return siteOf({ kind: 'directory', directory, shared, keeper: 'mongo-1' });
}

export function siteOf(vault: Store): Site {
  return {
    site: 'vitam',
    timezone: 'Europe/Paris',
    hosts: ['mongo-1', 'mongo-2'],
    services: {},
    jobs: {},
    counts: {},
    databases: {},
    stores: { vault },
    procedures: {},
    limits: DEFAULT_LIMITS,
  };
}

export function copyTo(
  site: Site,
  host: string,
  set: SetRef,
  artifact: string,
  root: string,
): Promise<Artifact> {
  return copyArtifact(copyOf(site, host, set, artifact, root));
}

export function copyOf(site: Site, host: string, set: SetRef, artifact: string, root: string): ArtifactCopy {
  return {
    site,
    host,
    input: {
      ref: { site: site.site, host, journal: 'j', epoch: 3, siteDigest: 'd' },
      id: `6/backup/${artifact}`,
      position: '6/backup',
      set,
      store: 'vault',
      artifact,
      source: { kind: 'files', database: 'offer' },
    },
    attempt: 1,
    roots: [root],
    exclude: [],
    hooks: { signal: new AbortController().signal, onProcess: () => undefined, onProgress: () => undefined },
  };
}

export function manifestOf(
  set: SetRef,
  artifacts: readonly Artifact[],
  changes: Partial<Manifest> = {},
): Manifest {
  return {
    format: 1,
    coldbackup: 'test',
    set,
    night: set.id.slice(0, 10),
    workflowId: 'vitam/nightly',
    runId: 'run',
    siteDigest: 'd',
    startedAt: '2026-11-20T19:00:00.000Z',
    publishedAt: `${set.id.slice(0, 10)}T23:00:00.000Z`,
    complete: true,
    artifacts,
    databases: [{ engine: 'files', database: 'offer' }],
    steps: [],
    decisions: [],
    warnings: [],
    ...changes,
  };
}

export function setOf(id: string): SetRef {
  return { site: 'vitam', procedure: 'nightly', id };
}

export function folderOf(directory: string, set: SetRef): string {
  return join(directory, set.site, set.procedure, set.id);
}

export async function failureOf(work: Promise<unknown>): Promise<StoreError> {
  const error = await work.then(
    () => new Error('it went well'),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(StoreError);
  return error as StoreError;
}
