import type { LedgerActivities } from '../../model/activities.ts';
import { undoOrder, walkUndo, type Entry } from '../../model/ledger.ts';
import type { NotBack } from '../../model/progress.ts';
import type { HostName, Site } from '../../model/site.ts';
import type { Journal } from './journal.ts';

export interface BringBackDeps {
  readonly site: Site;
  readonly siteDigest: string;
  readonly host: HostName;
  readonly journal: Pick<Journal, 'state'>;
  readonly ledger: Pick<LedgerActivities, 'takeOver' | 'undoChange' | 'release'>;
  /** At the begin of each undo (null), and at its end. */
  readonly onUndo: (entry: Entry, outcome: { did: string } | { error: string } | null) => void;
}

export interface BroughtBack {
  readonly undone: readonly Entry[];
  readonly notBack: readonly NotBack[];
}

/** One round without Temporal: takes the host over, undoes backwards, and releases a journal that is empty by then. */
export async function bringBackOnce(
  { site, siteDigest, host, journal, ledger, onUndo }: BringBackDeps,
  { by, why }: { readonly by: string; readonly why: string },
): Promise<BroughtBack> {
  const { claim } = journal.state();
  if (claim === null) return { undone: [], notBack: [] };
  const place = { site: site.site, host, journal: claim.journal };
  const { epoch, entries } = await ledger.takeOver({ ...place, by, why, epoch: null });
  const ref = { ...place, epoch, siteDigest };
  const undone: Entry[] = [];
  const notBack: NotBack[] = [];
  await walkUndo(undoOrder(entries), async (entry) => {
    onUndo(entry, null);
    try {
      const { did } = await ledger.undoChange({ ref, id: entry.id });
      undone.push(entry);
      onUndo(entry, { did });
    } catch (error) {
      const message = error instanceof Error ? error.message : 'unknown';
      notBack.push({ id: entry.id, what: entry.change.kind, host, why: message });
      onUndo(entry, { error: message });
    }
  });
  if (notBack.length === 0) await ledger.release({ ref });
  return { undone, notBack };
}
