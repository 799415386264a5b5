import { ApplicationFailure } from '@temporalio/common';
import { isCancellation, patched, setCurrentDetails } from '@temporalio/workflow';
import type { SetSummary } from '../model/manifest.ts';
import { toReadAgain } from '../model/reading.ts';
import { notAsked } from './chosen-set.ts';
import { messageOf } from './failures.ts';
import { sets, setVerify } from './inspect.ts';

/** Input of workflow `verify`; small enough to type into the Temporal UI. */
export interface VerifyInput {
  readonly site: string;
  readonly procedure: string;
  /** Sets are due that were neither made nor read again for so many days. */
  readonly everyDays: number;
}

/** What it ends with; with problems it ends as a failure that carries it. */
export interface Verified {
  readonly sets: readonly (Pick<SetSummary, 'set' | 'store'> & {
    readonly problems: readonly string[];
    /** What was damaged, and from which store it was replaced. */
    readonly mended: readonly string[];
  })[];
  /** What could not be read, and why; absent: nothing. */
  readonly notRead?: readonly string[];
}

/**
 * Reads again, byte by byte, sets that are due, the longest unread first: run daily, each run reads its share of the
 * stores. What is damaged is replaced by a good copy of another store.
 */
export async function verify({ site, procedure, everyDays }: VerifyInput): Promise<Verified> {
  const { sets: all, failed } = await sets({ site, procedure });
  const notRead = failed.map(notAsked);
  const published = all.filter(({ publishedAt }) => publishedAt !== '');
  const { due, shareBytes } = toReadAgain(published, everyDays, Date.now());
  // Nobody can use them as they are.
  const unreadable = all.filter((set) => set.unreadable !== undefined);
  const toRead = [...unreadable, ...due];
  const isBounded = patched('its-share');
  let readBytes = 0;
  const read: Verified['sets'][number][] = [];
  for (const { set, store, sizeBytes } of toRead) {
    if (isBounded && read.length > 0 && readBytes >= shareBytes) break;
    setCurrentDetails(`reading ${set.id} in ${store}, ${read.length + 1} of ${toRead.length}`);
    try {
      const parts = await setVerify({ site, store, set, mend: true });
      read.push({
        ...{ set, store },
        problems: parts.flatMap(({ problems }) => problems),
        mended: parts.flatMap(({ mended = [] }) => mended),
      });
      readBytes += sizeBytes;
    } catch (error) {
      // The next one may lie elsewhere, and be well.
      if (isCancellation(error)) throw error;
      notRead.push(`${set.id} in ${store}: ${messageOf(error)}`);
    }
  }
  const damaged = read.filter(({ problems }) => problems.length > 0);
  setCurrentDetails(
    [
      `${read.length} of ${toRead.length} sets that are due read again, ${damaged.length} damaged`,
      ...read.flatMap(({ set, store, mended }) =>
        mended.map((one) => `- mended ${set.id} in ${store}: ${one}`),
      ),
      ...notRead.map((one) => `- not read: ${one}`),
    ].join('\n'),
  );
  const verified: Verified = { sets: read, ...(notRead.length > 0 && { notRead }) };
  if (damaged.length === 0 && notRead.length === 0) return verified;
  throw ApplicationFailure.create({
    message: [
      ...damaged.map(
        ({ set, store, problems }) => `${set.id} in ${store} is damaged: ${problems.slice(0, 3).join('; ')}`,
      ),
      ...notRead.map((one) => `not read: ${one}`),
    ].join('\n'),
    type: damaged.length > 0 ? 'Damaged' : 'NotRead',
    nonRetryable: true,
    details: [verified],
  });
}
