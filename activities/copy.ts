import type { CopyActivities, CopyInput, CopyProgress, CopySource } from '../model/activities.ts';
import type { Artifact, Copies } from '../model/manifest.ts';
import type { FilesEngine, HostName, Site } from '../model/site.ts';
import { copyArtifact, copyToStores } from './archive/copy-artifact.ts';
import type { ArtifactCopy } from './archive/copy-artifact.ts';
import { fingerprintCopy } from './copies/fingerprint.ts';
import type { CopyPlace } from './copies/place.ts';
import type { Journal } from './ledger/journal.ts';
import type { JobContext, Jobs } from './ledger/jobs.ts';
import { refuse } from './ledger/refusals.ts';
import { assertColdCopyable, assertStillCold, copyExcludes } from './mongodb/cold.ts';
import { memberOf } from './mongodb/engine.ts';

export interface CopyDeps {
  readonly site: Site;
  readonly host: HostName;
  readonly journal: Journal;
  readonly jobs: Jobs;
  readonly signal: () => AbortSignal;
  /** Gives a function for the attempt that runs: the job calls it long after. */
  readonly listen: () => (progress: CopyProgress) => void;
}

/** Copies at rest, as jobs of this host: an attempt that is given up does not end them. */
export function createCopyActivities({
  site,
  host,
  journal,
  jobs,
  signal,
  listen,
}: CopyDeps): CopyActivities {
  /** Of the attempt that listens last: the job itself knows no attempts. */
  const listeners = new Map<string, (progress: CopyProgress) => void>();

  return {
    async copy(input) {
      mustHold(input);
      listeners.set(input.id, listen());
      const work = (job: JobContext): Promise<Artifact> =>
        withSource(input, job, (what) =>
          copyArtifact({ ...what, site, host, input, attempt: job.attempt, hooks: hooksOf(input, job) }),
        );
      return jobs.run(input.id, input.position, work, signal());
    },
    async copyToStores(input) {
      mustHold(input);
      listeners.set(input.id, listen());
      const { stores, needs } = input;
      const work = (job: JobContext): Promise<Copies> =>
        withSource(input, job, (what) =>
          copyToStores(
            { ...what, site, host, input, attempt: job.attempt, hooks: hooksOf(input, job) },
            stores,
            needs,
          ),
        );
      return jobs.run(input.id, input.position, work, signal());
    },
    async fingerprintCopy(input) {
      mustHold(input);
      const { place, position } = snapshotOf(input);
      const work = async (job: JobContext) => ({
        fingerprint: await fingerprintCopy(site, host, input, place, job),
      });
      // Its server is in the journal as a process of the change: that is undone once it is gone.
      const { fingerprint } = await jobs.run(input.change, position, work, signal());
      return fingerprint;
    },
  };

  function filesOf(database: string): FilesEngine {
    const engine = site.databases[database]?.engine;
    if (engine?.kind === 'files' && engine.host === host) return engine;
    throw refuse('UnknownName', `${host} has no file tree named "${database}" in its site file`);
  }

  function mustHold({ ref }: Pick<CopyInput, 'ref'>): void {
    const { claim, epoch } = journal.state();
    if (claim?.journal === ref.journal && epoch === ref.epoch) return;
    throw refuse('Fenced', `journal ${ref.journal} epoch ${ref.epoch} no longer holds ${host}`);
  }

  /** What is copied, as this host's own site file and journal have it; a member at rest before and after. */
  async function withSource<T>(
    { source }: { readonly source: CopySource },
    job: JobContext,
    work: (what: Pick<ArtifactCopy, 'roots' | 'at' | 'exclude'>) => Promise<T>,
  ): Promise<T> {
    if (source.kind === 'files') {
      const { roots, exclude } = filesOf(source.database);
      return work({ roots, exclude });
    }
    if (source.kind === 'snapshot') {
      const { roots, path: at } = snapshotOf(source).place;
      if (journal.state().jobs.has(source.change))
        throw refuse('NotAtRest', `the copy ${at} on ${host} was opened to be read: it is archived no more`);
      const exclude = source.member === undefined ? filesOf(source.database).exclude : copyExcludes();
      return work({ roots, at, exclude });
    }
    const { data } = memberOf(site, source.database, source.member);
    const cold = await assertColdCopyable(site, source.database, source.member, { signal: job.signal });
    try {
      const result = await work({ roots: [data], exclude: copyExcludes() });
      await assertStillCold(cold);
      return result;
    } finally {
      await cold.release();
    }
  }

  /** As the journal has it: whole, and not removed. */
  function snapshotOf({
    change: id,
    database,
    member,
  }: Omit<Extract<CopySource, { kind: 'snapshot' }>, 'kind'>): { place: CopyPlace; position: string } {
    const entry = journal.state().entries.get(id);
    const { change, position = '', place = null, endedAt = null, undoneAt = null } = entry ?? {};
    const isOfIt =
      change?.kind === 'snapshot-made' && change.database === database && change.member === member;
    if (!isOfIt || place === null || endedAt === null || undoneAt !== null)
      throw refuse('UnknownName', `the journal of ${host} has no whole copy ${id} of ${member ?? database}`);
    return { place, position };
  }

  function hooksOf(
    { id, artifact }: Pick<CopyInput, 'id' | 'artifact'>,
    { signal: ended, onProcess }: JobContext,
  ) {
    const startedMs = Date.now();
    return {
      signal: ended,
      onProcess,
      onProgress: (progress: Pick<CopyProgress, 'readBytes' | 'writtenBytes' | 'totalBytes'>) => {
        const seconds = Math.max(0.001, (Date.now() - startedMs) / 1_000);
        listeners.get(id)?.({
          artifact,
          ...progress,
          bytesPerSecond: Math.round(progress.readBytes / seconds),
        });
      },
    };
  }
}
