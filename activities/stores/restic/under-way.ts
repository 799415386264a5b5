const begun = new Map<Promise<unknown>, string>();
const writes = new Map<string, number>();

/** Who looks at a repository waits for what this process has begun in it: it is asked for what it was told. */
export function underWay<T>(repository: string, work: Promise<T>): Promise<T> {
  begun.set(work, repository);
  const over = () => begun.delete(work);
  work.then(over, over);
  return work;
}

export async function allSettled(repository: string): Promise<void> {
  await Promise.allSettled([...begun].filter(([, of]) => of === repository).map(([work]) => work));
}

/** How often this process has written to a repository: what was seen before the last time holds no longer. */
export function writesTo(repository: string): number {
  return writes.get(repository) ?? 0;
}

export function countWrite(repository: string): void {
  writes.set(repository, writesTo(repository) + 1);
}
