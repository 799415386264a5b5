import { CancellationScope, patched, workflowInfo } from '@temporalio/workflow';
import type { Manifest, SetRef } from '../model/manifest.ts';
import { copyingHosts, mayBeLeftOut, type Plan } from '../model/plan.ts';
import { keepFor } from '../model/retention.ts';
import type { HostName } from '../model/site.ts';
import { agent } from './agents.ts';
import { messageOf } from './failures.ts';
import {
  leaveOut,
  nowInstant,
  planOf,
  setRefOf,
  showNow,
  skippedBackups,
  stepRecords,
  type Run,
} from './run.ts';

const shortMs = 5 * 60_000;
export const version = '0.1.0';

/**
 * The manifest last: without it there is no set. Of a store that is not shared each host publishes its own artifacts
 * first: the keeper's manifest says that all are there. While services are held down until a clock time this goes on beside. */
export function publish(run: Run): Promise<void> {
  return CancellationScope.nonCancellable(async () => {
    const written = [...new Set(run.artifacts.map(({ store }) => store))];
    const stores = written.filter((store) => !run.storesFailed.has(store));
    const failed = new Map<string, unknown>();
    await Promise.all(
      stores.map((store) => publishTo(run, store).catch((error: unknown) => failed.set(store, error))),
    );
    for (const [store, error] of failed) {
      if (failed.size === stores.length || !mayBeLeftOut(planOf(run).steps, store)) throw error;
      leaveOut(run, store, `its manifest could not be written: ${messageOf(error)}`);
    }
  });
}

async function publishTo(run: Run, store: string): Promise<void> {
  const plan = planOf(run);
  const keeper = plan.stores[store]?.keeper ?? '';
  const set = setRefOf(run);
  const done = showNow(run, `publish ${store}`, {
    step: 'finish',
    text: `publishing ${set.id} in ${store}`,
    until: null,
    then: null,
  });
  try {
    const input = { site: plan.site, store, manifest: manifestOf(run, store) };
    const publishOn = (host: HostName) =>
      agent(plan.site, host, { summary: `publish ${set.id}`, withinMs: shortMs }).publishSet(input);
    const holders = new Set(input.manifest.artifacts.map(({ host }) => host));
    const others = othersOf(plan, store, [...holders]);
    // Without others nothing is awaited: the order of commands that recorded runs have.
    if (others.length > 0) await Promise.all(others.map(publishOn));
    const { sizeBytes } = await publishOn(keeper);
    run.sets.push({ set, store, sizeBytes });
    await prune(run, store, { plan: { ...plan, keep: keepFor(plan, store) }, published: set });
  } finally {
    done();
  }
}

/**
 * Where a run that might have copied has published nothing, what earlier ones left is cleared all the same: nights that
 * fail one after the other would fill the store. Retention as such waits for a set.
 */
export async function clearRemains(run: Run): Promise<void> {
  if (run.plan === null || run.restore !== null || run.asked.size === 0) return;
  const plan = { ...run.plan, keep: null };
  const without = Object.keys(plan.stores).filter(
    (store) => copyingHosts(plan.steps, store).length > 0 && !run.sets.some((set) => set.store === store),
  );
  if (without.length === 0 || !patched('clear-remains')) return;
  await CancellationScope.nonCancellable(() =>
    Promise.all(without.map((store) => prune(run, store, { plan }))),
  );
}

/** A set that could not be removed is no reason to call the night failed. */
async function prune(
  run: Run,
  store: string,
  { plan, published }: { readonly plan: Plan; readonly published?: SetRef },
): Promise<void> {
  const { keeper = '' } = plan.stores[store] ?? {};
  const pruneOn = (host: HostName, told?: { removed: readonly SetRef[]; has?: readonly SetRef[] }) =>
    agent(plan.site, host, { summary: `retention in ${store}`, withinMs: shortMs }).pruneSets({
      plan,
      store,
      now: nowInstant(),
      ...(told ?? (published !== undefined && { published })),
    });
  const failed = (where: string) => (error: unknown) => {
    run.warnings.push(`retention in ${where} failed: ${error instanceof Error ? error.message : 'unknown'}`);
    return null;
  };
  const removed = await pruneOn(keeper).catch(failed(store));
  if (removed === null) return;
  const others = othersOf(plan, store, copyingHosts(plan.steps, store));
  if (others.length === 0) return;
  const listed = patched('what-the-keeper-has')
    ? await agent(plan.site, keeper, { summary: `sets in ${store}`, withinMs: shortMs })
        .listSets({ site: plan.site, store, procedure: plan.procedure })
        .catch(failed(store))
    : null;
  const told = { removed, ...(listed !== null && { has: listed.map(({ set }) => set) }) };
  await Promise.all(others.map((host) => pruneOn(host, told).catch(failed(`${store} on ${host}`))));
}

/** Besides the keeper: of a shared store nobody, as it sees everything. */
function othersOf(plan: Plan, store: string, hosts: readonly HostName[]): readonly HostName[] {
  const { keeper, shared = true } = plan.stores[store] ?? {};
  return shared ? [] : hosts.filter((host) => host !== keeper).sort();
}

function manifestOf(run: Run, store: string): Manifest {
  const { night, siteDigest } = planOf(run);
  const { workflowId, runId } = workflowInfo();
  return {
    format: 1,
    coldbackup: version,
    set: setRefOf(run),
    night,
    workflowId,
    runId,
    siteDigest,
    startedAt: run.startedAt,
    publishedAt: nowInstant(),
    complete: skippedBackups(run).length === 0,
    artifacts: run.artifacts.filter((artifact) => artifact.store === store),
    databases: run.databases,
    steps: stepRecords(run),
    decisions: run.decisions,
    warnings: run.warnings,
  };
}
