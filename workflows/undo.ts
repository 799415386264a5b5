import { undoOrder, walkUndo, type Change, type Entry } from '../model/ledger.ts';
import type { NotBack } from '../model/progress.ts';
import type { HostName } from '../model/site.ts';
import { messageOf, noAnswer } from './failures.ts';

/** What nobody gave a `ready.within` for: balancer, settling of a stop. */
const undoAllowanceMs = 3 * 60_000;

/** Of a copy of any size; nothing waits for it but the end of the run. */
const removeAllowanceMs = 30 * 60_000;

/** Whoever undoes: a run, the watchdog. Each takes over before it undoes, and releases what is all back. */
export interface Undoer {
  /** What is open in the journal of the host; nothing, where somebody else brings it back. */
  takeOver(host: HostName): Promise<readonly Entry[]>;
  /** null: it is back. */
  undo(entry: Entry): Promise<NotBack | null>;
  release(host: HostName): Promise<void>;
}

/**
 * One round, of all hosts together, backwards; returns what is not back. A host that does not answer is set aside with
 * all its changes; the others go on.
 */
export async function undoOnce(hosts: readonly HostName[], undoer: Undoer): Promise<readonly NotBack[]> {
  const notBack: NotBack[] = [];
  const aside = new Set<HostName>();
  const entries = await Promise.all(
    hosts.map((host) =>
      undoer.takeOver(host).catch((error: unknown) => {
        aside.add(host);
        notBack.push({ id: '', what: 'this host', host, why: messageOf(error) });
        return [];
      }),
    ),
  );
  await walkUndo(undoOrder(entries.flat()), async (entry) => {
    const failure = aside.has(entry.host)
      ? { ...placeOf(entry), why: 'the host does not answer' }
      : await undoer.undo(entry);
    if (failure === null) return;
    if (failure.why.startsWith(noAnswer)) aside.add(entry.host);
    notBack.push(failure);
  });
  const left = hostsOf(notBack);
  await Promise.all(
    hosts
      .filter((host) => !left.includes(host))
      .map((host) =>
        undoer.release(host).catch((error: unknown) => {
          notBack.push({ id: '', what: 'the claim', host, why: messageOf(error) });
        }),
      ),
  );
  return notBack;
}

export function hostsOf(notBack: readonly NotBack[]): HostName[] {
  return [...new Set(notBack.map(({ host }) => host))].sort();
}

/** A change gets its service's `ready.within`, after its stop was waited out. */
export function undoWithinMs(
  timing: Readonly<Record<string, { readonly stopWithinMs: number; readonly readyWithinMs: number }>>,
  { change }: Entry,
): number {
  if (change.kind === 'snapshot-made' || change.kind === 'set-unpacked') return removeAllowanceMs;
  const own = change.kind === 'service-stopped' ? timing[change.service] : undefined;
  return (own === undefined ? 0 : own.stopWithinMs + own.readyWithinMs) + undoAllowanceMs;
}

export function placeOf(entry: Entry): Omit<NotBack, 'why'> {
  return { id: entry.id, what: nameOf(entry.change), host: entry.host };
}

export function nameOf(change: Change): string {
  switch (change.kind) {
    case 'service-stopped':
      return `stop ${change.service}`;
    case 'balancer-stopped':
      return `stop the balancer of ${change.database}`;
    case 'snapshot-made':
      return `copy ${change.member ?? change.database} on its host (${change.by})`;
    case 'set-unpacked':
      return `unpack ${change.artifact} for ${change.member ?? change.database}`;
    case 'balancer-replaced':
      return `settle the balancer of ${change.database}`;
    case 'data-moved-aside':
      return change.to !== undefined
        ? `put ${change.artifact} in ${change.to}`
        : `replace the data of ${change.member ?? change.database}`;
  }
}
