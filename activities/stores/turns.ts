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
