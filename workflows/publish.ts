import { CancellationScope, workflowInfo } from '@temporalio/workflow';
import type { Manifest } from '../model/manifest.ts';
import { agent } from './agents.ts';
import { nowInstant, planOf, setRefOf, showNow, stepRecords, type Run } from './run.ts';

const shortMs = 5 * 60_000;
const version = '0.1.0';

/** The manifest last: without it there is no set. While services are held down until a clock time this goes on beside. */
export function publish(run: Run): Promise<void> {
  return CancellationScope.nonCancellable(async () => {
    const stores = [...new Set(run.artifacts.map(({ store }) => store))];
    await Promise.all(stores.map((store) => publishTo(run, store)));
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
    const { publishSet } = agent(plan.site, keeper, { summary: `publish ${set.id}`, withinMs: shortMs });
    const { sizeBytes } = await publishSet({ site: plan.site, store, manifest: manifestOf(run, store) });
    run.sets.push({ set, store, sizeBytes });
    await prune(run, store, keeper);
  } finally {
    done();
  }
}

/** A set that could not be removed is no reason to call the night failed. */
async function prune(run: Run, store: string, keeper: string): Promise<void> {
  const plan = planOf(run);
  if (plan.keep === null) return;
  try {
    await agent(plan.site, keeper, { summary: `retention in ${store}`, withinMs: shortMs }).pruneSets({
      plan,
      store,
      now: nowInstant(),
    });
  } catch (error) {
    run.warnings.push(`retention in ${store} failed: ${error instanceof Error ? error.message : 'unknown'}`);
  }
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
    complete: true,
    artifacts: run.artifacts.filter((artifact) => artifact.store === store),
    databases: run.databases,
    steps: stepRecords(run),
    warnings: run.warnings,
  };
}
