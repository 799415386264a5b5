import type { SetSummary } from './manifest.ts';

const dayMs = 86_400_000;

export interface Reading<S> {
  /** Neither made nor read again for so many days; the longest unread first. */
  readonly due: readonly S[];
  /** One run begins no further set once it has read so much. */
  readonly shareBytes: number;
}

type ReadSet = Pick<SetSummary, 'publishedAt' | 'sizeBytes' | 'verified'>;

/**
 * What a run reads again. Its share is that of the days since the last reading, of one day at least: hundreds of sets that
 * are due at once are spread over `everyDays`, and a run that was missed is made up for.
 */
export function toReadAgain<S extends ReadSet>(
  sets: readonly S[],
  everyDays: number,
  nowMs: number,
): Reading<S> {
  const dueBefore = new Date(nowMs - everyDays * dayMs).toISOString();
  const due = sets
    .filter((set) => readAt(set) <= dueBefore)
    .sort((one, other) => readAt(one).localeCompare(readAt(other)));
  const allBytes = sets.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const readings = sets.flatMap(({ verified }) => (verified === undefined ? [] : [Date.parse(verified.at)]));
  const sinceDays = readings.length === 0 ? 1 : (nowMs - Math.max(...readings)) / dayMs;
  return { due, shareBytes: (allBytes * Math.max(1, sinceDays)) / everyDays };
}

function readAt({ publishedAt, verified }: ReadSet): string {
  return verified?.at ?? publishedAt;
}
