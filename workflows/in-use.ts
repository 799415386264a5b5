import { CancellationScope, isCancellation, log, patched, workflowInfo } from '@temporalio/workflow';
import type { SetRef } from '../model/manifest.ts';
import type { Instant } from '../model/plan.ts';
import type { HostName } from '../model/site.ts';
import { agent } from './agents.ts';
import { messageOf } from './failures.ts';

export interface Use {
  readonly site: string;
  readonly store: string;
  readonly set: SetRef;
  /** The keeper, whose list decides, and who reads a disk of its own. */
  readonly hosts: readonly HostName[];
  readonly what: 'restore' | 'drill' | 'verify';
  /** A run that is terminated takes nothing back. */
  readonly atMostMs: number;
}

const shortMs = 60_000;

/** While this goes on retention removes the set nowhere. */
export async function whileInUse<T>(use: Use, work: () => Promise<T>): Promise<T> {
  const over = await beginUse(use);
  try {
    return await work();
  } finally {
    await over();
  }
}

/** Gives what ends it. Where it cannot be written, a store that is read-only say, the set is read all the same. */
export async function beginUse(use: Use): Promise<() => Promise<void>> {
  if (!patched('set-in-use')) return () => Promise.resolve();
  await mark(use, new Date(Date.now() + use.atMostMs).toISOString());
  return () => CancellationScope.nonCancellable(() => mark(use, null));
}

async function mark({ site, store, set, hosts, what }: Use, until: Instant | null): Promise<void> {
  const { workflowId, runId } = workflowInfo();
  const summary = `${set.id} is ${until === null ? 'no longer ' : ''}in use`;
  await Promise.all(
    [...new Set(hosts)].map((host) =>
      agent(site, host, { summary, withinMs: shortMs, attempts: 2 })
        .useSet({ site, store, set, use: { what, workflowId, runId, until } })
        .catch((error: unknown) => {
          if (isCancellation(error)) throw error;
          log.warn('retention may not know that a set is in use', { set, host, error: messageOf(error) });
        }),
    ),
  );
}
