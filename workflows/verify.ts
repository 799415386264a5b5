import { ApplicationFailure } from '@temporalio/common';
import { isCancellation, setCurrentDetails } from '@temporalio/workflow';
import type { SetSummary } from '../model/manifest.ts';
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

const dayMs = 86_400_000;

/**
 * Reads again, byte by byte, every set that is due, the longest unread first. Sets are made one by one and so are due one
 * by one: run daily, each run reads a part of the stores. What is damaged is replaced by a good copy of another store.
 */
export async function verify({ site, procedure, everyDays }: VerifyInput): Promise<Verified> {
  const dueBefore = new Date(Date.now() - everyDays * dayMs).toISOString();
  const { sets: all, failed } = await sets({ site, procedure });
  const notRead = failed.map(notAsked);
  const due = all
    .filter((set) => set.publishedAt !== '' && readAt(set) <= dueBefore)
    .sort((one, other) => readAt(one).localeCompare(readAt(other)));
  const read: Verified['sets'][number][] = [];
  for (const { set, store } of due) {
    setCurrentDetails(`reading ${set.id} in ${store}, ${read.length + 1} of ${due.length}`);
    try {
      const parts = await setVerify({ site, store, set, mend: true });
      read.push({
        ...{ set, store },
        problems: parts.flatMap(({ problems }) => problems),
        mended: parts.flatMap(({ mended = [] }) => mended),
      });
    } catch (error) {
      // The next one may lie elsewhere, and be well.
      if (isCancellation(error)) throw error;
      notRead.push(`${set.id} in ${store}: ${messageOf(error)}`);
    }
  }
  const damaged = read.filter(({ problems }) => problems.length > 0);
  setCurrentDetails(
    [
      `${read.length} of ${due.length} sets read again, ${damaged.length} damaged`,
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

function readAt({ publishedAt, verified }: SetSummary): string {
  return verified?.at ?? publishedAt;
}
