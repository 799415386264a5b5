import type { CopyActivities, CopyInput, CopyProgress } from '../model/activities.ts';
import type { Artifact } from '../model/manifest.ts';
import type { HostName, Site } from '../model/site.ts';
import { copyArtifact } from './archive/copy-artifact.ts';
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
      const { claim, epoch } = journal.state();
      if (claim?.journal !== input.ref.journal || epoch !== input.ref.epoch)
        throw refuse(
          'Fenced',
          `journal ${input.ref.journal} epoch ${input.ref.epoch} no longer holds ${host}`,
        );
      listeners.set(input.id, listen());
      return jobs.run(input.id, input.position, (job) => copySource(input, job), signal());
    },
  };

  async function copySource(input: CopyInput, job: JobContext): Promise<Artifact> {
    const { source } = input;
    const hooks = hooksOf(input, job);
    if (source.kind === 'files') {
      const engine = site.databases[source.database]?.engine;
      if (engine?.kind !== 'files' || engine.host !== host)
        throw refuse('UnknownName', `${host} has no file tree named "${source.database}" in its site file`);
      return copyArtifact({
        site,
        host,
        input,
        attempt: job.attempt,
        roots: engine.roots,
        exclude: engine.exclude,
        hooks,
      });
    }
    if (source.kind === 'snapshot') {
      const place = snapshotOf(source);
      return copyArtifact({
        ...{ site, host, input, attempt: job.attempt, hooks },
        ...{ roots: [place.root], at: place.path, exclude: copyExcludes() },
      });
    }
    const { data } = memberOf(site, source.database, source.member);
    const cold = await assertColdCopyable(site, source.database, source.member, { signal: job.signal });
    try {
      const artifact = await copyArtifact({
        ...{ site, host, input, attempt: job.attempt, hooks },
        roots: [data],
        exclude: copyExcludes(),
      });
      await assertStillCold(cold);
      return artifact;
    } finally {
      await cold.release();
    }
  }

  /** As the journal has it: whole, and not removed. */
  function snapshotOf({
    change: id,
    database,
    member,
  }: Extract<CopyInput['source'], { kind: 'snapshot' }>): CopyPlace {
    const entry = journal.state().entries.get(id);
    const { change, place = null, endedAt = null, undoneAt = null } = entry ?? {};
    const isOfMember =
      change?.kind === 'snapshot-made' && change.database === database && change.member === member;
    if (!isOfMember || place === null || endedAt === null || undoneAt !== null)
      throw refuse('UnknownName', `the journal of ${host} has no whole copy ${id} of ${member}`);
    return place;
  }

  function hooksOf({ id, artifact }: CopyInput, { signal: ended, onProcess }: JobContext) {
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
