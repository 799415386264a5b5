import { ApplicationFailure } from '@temporalio/common';
import type { Site } from '../../model/site.ts';
import { ArchiveError, surveyAgain, surveyTree } from '../archive/survey.ts';
import { assertColdCopyable, assertStillCold } from '../mongodb/cold.ts';
import { CommandError } from '../system/command.ts';
import { makeCopy, type CopyHooks } from './make.ts';
import { copiedData, type Copied, type CopiedData, type CopyPlace } from './place.ts';

/**
 * Copies data at rest on its own host, and proves it: the data is the same before and after, and the copy has every name
 * with its kind, size, owner, mode and time; of a member, which has stopped cleanly, the server's lock is held meanwhile.
 * No retry cures a failure, while services are down: it is for good.
 */
export async function snapshotData(
  site: Site,
  copied: Copied,
  place: CopyPlace,
  hooks: CopyHooks,
): Promise<void> {
  const { database, member } = copied;
  const data = copiedData(site, copied);
  const cold =
    member === undefined ? null : await assertColdCopyable(site, database, member, { signal: hooks.signal });
  try {
    // Several snapshots are of several moments.
    if (place.by === 'btrfs' && place.roots.length === 1) await makeCopy(place, hooks);
    else await makeAndCompare(data, place, hooks);
    if (cold !== null) await assertStillCold(cold);
  } catch (error) {
    hooks.signal.throwIfAborted();
    throw asFailure(error, data.host, place);
  } finally {
    await cold?.release();
  }
}

/** Of btrfs the kernel takes all names at one moment; `cp` takes one after the other, and some silently less well. */
async function makeAndCompare(
  { host, exclude }: CopiedData,
  place: CopyPlace,
  hooks: CopyHooks,
): Promise<void> {
  const tree = { host, roots: place.roots, exclude };
  const looking = { ...hooks, likeness: true };
  const before = await surveyTree(tree, looking);
  await makeCopy(place, hooks);
  const [after, copied] = await Promise.all([
    surveyAgain(tree, looking, before),
    surveyTree({ ...tree, at: place.path }, looking),
  ]);
  if (after.fingerprint !== before.fingerprint)
    throw new ArchiveError(
      `${place.roots.join(', ')} on ${host} was not at rest: it changed while it was copied to ${place.path}.`,
    );
  if (copied.likeness !== before.likeness)
    throw new ArchiveError(
      `the copy of ${place.roots.join(', ')} in ${place.path} on ${host} is not like it: names, sizes, owners, modes or times ` +
        'differ. Run the agent as a user who may give files their owners.',
    );
}

function asFailure(error: unknown, host: string, { roots, path, by }: CopyPlace): unknown {
  if (!(error instanceof CommandError)) return error;
  // Ended by a signal: not by a fault of its own.
  const mayPass = error.exitCode === null;
  return ApplicationFailure.create({
    message: `${roots.join(', ')} on ${host} could not be copied to ${path} (${by}): ${error.message}`,
    type: 'CopyFailed',
    nonRetryable: !mayPass,
    cause: error,
  });
}
