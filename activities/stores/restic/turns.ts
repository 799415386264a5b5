const last = new Map<string, Promise<unknown>>();

/** One after the other of those with one name, in this process. */
export function inTurn<T>(name: string, action: () => Promise<T>): Promise<T> {
  const mine = (last.get(name) ?? Promise.resolve()).then(action);
  const settled = mine.catch(() => undefined);
  last.set(name, settled);
  void settled.then(() => {
    if (last.get(name) === settled) last.delete(name);
  });
  return mine;
}

const begun = new Map<Promise<unknown>, string>();

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
