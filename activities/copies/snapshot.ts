import { ApplicationFailure } from '@temporalio/common';
import type { Site } from '../../model/site.ts';
import { ArchiveError, surveyTree, type Survey } from '../archive/survey.ts';
import { assertColdCopyable, assertStillCold } from '../mongodb/cold.ts';
import { memberOf } from '../mongodb/engine.ts';
import { CommandError } from '../system/command.ts';
import { makeCopy, type CopyHooks } from './make.ts';
import type { CopyPlace } from './place.ts';

/**
 * Copies the data of a member that has stopped cleanly, on its own host, and proves it: the server's lock is held
 * meanwhile, the data is the same before and after, and the copy has every name with its kind, size, owner, mode and
 * time. No retry cures a failure, while a server is down: it is for good.
 */
export async function snapshotMember(
  site: Site,
  { database, member }: { readonly database: string; readonly member: string },
  place: CopyPlace,
  hooks: CopyHooks,
): Promise<void> {
  const { host } = memberOf(site, database, member);
  const cold = await assertColdCopyable(site, database, member, { signal: hooks.signal });
  try {
    if (place.by === 'btrfs') await makeCopy(place, hooks);
    else await makeAndCompare(host, place, hooks);
    await assertStillCold(cold);
  } catch (error) {
    hooks.signal.throwIfAborted();
    throw asFailure(error, host, place);
  } finally {
    await cold.release();
  }
}

/** Of btrfs the kernel takes all names at one moment; `cp` takes one after the other, and some silently less well. */
async function makeAndCompare(host: string, place: CopyPlace, hooks: CopyHooks): Promise<void> {
  const look = (at?: string): Promise<Survey> =>
    surveyTree(
      { host, roots: [place.root], exclude: [], ...(at !== undefined && { at }) },
      { ...hooks, likeness: true },
    );
  const before = await look();
  await makeCopy(place, hooks);
  const [after, copied] = await Promise.all([look(), look(place.path)]);
  if (after.fingerprint !== before.fingerprint)
    throw new ArchiveError(
      `${place.root} on ${host} was not at rest: it changed while it was copied to ${place.path}.`,
    );
  if (copied.likeness !== before.likeness)
    throw new ArchiveError(
      `the copy of ${place.root} in ${place.path} on ${host} is not like it: names, sizes, owners, modes or times ` +
        'differ. Run the agent as a user who may give files their owners.',
    );
}

function asFailure(error: unknown, host: string, { root, path, by }: CopyPlace): unknown {
  if (!(error instanceof CommandError)) return error;
  // Ended by a signal: not by a fault of its own.
  const mayPass = error.exitCode === null;
  return ApplicationFailure.create({
    message: `${root} on ${host} could not be copied to ${path} (${by}): ${error.message}`,
    type: 'CopyFailed',
    nonRetryable: !mayPass,
    cause: error,
  });
}
