import { ApplicationFailure } from '@temporalio/common';
import type { CopySource } from '../model/activities.ts';
import type { PlanDatabase } from '../model/plan.ts';
import { copyKey } from '../model/resource.ts';
import type { HostName } from '../model/site.ts';
import { agent } from './agents.ts';
import type { BackupTarget } from './backup-target.ts';
import { makeChange, refOf } from './ledger.ts';
import { planOf, setRefOf, showNow, type Run } from './run.ts';
import { together } from './together.ts';

const shortMs = 60_000;

interface Wanted {
  readonly host: HostName;
  readonly source: CopySource;
  readonly artifact: string;
  /** What the copy ends with; default: all of the database. */
  readonly scope?: string;
}

/** Copies one source to every store of the step; the run remembers the artifacts. */
export async function copyTo(run: Run, target: BackupTarget, wanted: Wanted): Promise<void> {
  const { needs } = target;
  if (needs !== undefined) return copyToSeveral(run, { ...target, needs }, wanted);
  const { host, source, artifact, scope = target.scope } = wanted;
  const { site } = planOf(run);
  await together(
    target.to.map((store) => async () => {
      const position = `${scope}/copy/${artifact}/${store}`;
      const done = showNow(run, position, {
        step: target.step,
        text: `copying ${artifact} to ${store}`,
        until: null,
        then: null,
      });
      try {
        const { copy } = agent(site, host, copyCall(run, artifact));
        const input = { ref: refOf(run, host), id: `${position}@${host}`, position, set: setRefOf(run) };
        target.artifacts.push(await copy({ ...input, store, artifact, source }));
      } finally {
        done();
      }
    }),
  );
}

/** One read, to all stores that are left: one that has failed has no whole set any more. */
async function copyToSeveral(
  run: Run,
  target: BackupTarget & { readonly needs: 'all' | 'any' },
  { host, source, artifact, scope = target.scope }: Wanted,
): Promise<void> {
  const stores = storesLeft(target);
  const position = `${scope}/copy/${artifact}`;
  const done = showNow(run, position, {
    step: target.step,
    text: `copying ${artifact} to ${stores.join(', ')}`,
    until: null,
    then: null,
  });
  try {
    const { copyToStores } = agent(planOf(run).site, host, copyCall(run, artifact));
    const input = { ref: refOf(run, host), id: `${position}@${host}`, position, set: setRefOf(run) };
    const { artifacts, failed } = await copyToStores({
      ...{ ...input, artifact, source, stores, needs: target.needs },
    });
    target.artifacts.push(...artifacts);
    for (const { store, why } of failed) if (!target.failed.has(store)) target.failed.set(store, why);
  } finally {
    done();
  }
}

/** Those of the step that have all of it so far. Throws when there is none. */
export function storesLeft({ to, failed }: Pick<BackupTarget, 'to' | 'failed'>): readonly string[] {
  const left = to.filter((store) => !failed.has(store));
  if (left.length > 0) return left;
  const why = to.map((store) => `${store}: ${failed.get(store) ?? ''}`).join('; ');
  throw ApplicationFailure.nonRetryable(`no store of the step has all of it: ${why}`, 'StoreError');
}

/**
 * Copies data at rest on its own host: what was stopped for it may start again.
 * @returns the change that is the copy; null: this host allows none, it is to be archived while at rest.
 */
export async function copyOnHost(
  run: Run,
  { step }: BackupTarget,
  { database, copyBy }: PlanDatabase,
  { host, position, member }: Copied,
): Promise<string | null> {
  const copied = { database, ...(member !== undefined && { member }) };
  const by = copyBy === undefined ? 'stream' : (run.copyBy[copyKey(copied)] ?? 'stream');
  if (by === 'stream') return null;
  const done = showNow(run, position, {
    step,
    text: `copying the data of ${member ?? database} on its host (${by})`,
    until: null,
    then: null,
  });
  const { id } = await makeChange(run, {
    host,
    position,
    change: { kind: 'snapshot-made', ...copied, by },
    // The run itself ends it in time for up-by.
    withinMs: Math.max(shortMs, Date.parse(planOf(run).hardLimit) - Date.now()),
    step,
  }).finally(done);
  return id;
}

interface Copied {
  readonly host: HostName;
  readonly position: string;
  readonly member?: string;
}

/** The run itself ends it in time for up-by, which operators may extend. */
function copyCall(run: Run, artifact: string) {
  const withinMs = Math.max(shortMs, Date.parse(planOf(run).hardLimit) - Date.now());
  return { summary: `copy ${artifact}`, withinMs, copy: true } as const;
}

/** Every host says that what it holds down was never started since it was stopped; one that cannot: no set. */
export async function attest(
  run: Run,
  { usedBy }: Pick<PlanDatabase, 'usedBy'>,
  also: PlanDatabase['usedBy'] = [],
): Promise<void> {
  const held = [...usedBy, ...also];
  const hosts = [...new Set(held.flatMap((service) => service.hosts))];
  await Promise.all(
    hosts.map((host) =>
      agent(planOf(run).site, host, { summary: 'attest that all was at rest', withinMs: shortMs }).attest({
        ref: refOf(run, host),
        services: held.filter((service) => service.hosts.includes(host)).map(({ service }) => service),
      }),
    ),
  );
}
