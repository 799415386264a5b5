import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { bundleWorkflowCode, DefaultLogger, Runtime, Worker, type WorkflowBundle } from '@temporalio/worker';
import { loadSite, type LoadedSite } from '../../config/load.ts';
import { resolvePlan } from '../../config/plan.ts';
import { resolveRestore } from '../../config/restore/plan.ts';
import type { AgentActivities, ControlActivities } from '../../model/activities.ts';
import type { Manifest } from '../../model/manifest.ts';
import type { Plan } from '../../model/plan.ts';
import type { Report } from '../../model/progress.ts';
import { agentQueue, controlQueue } from '../../workflows/messages.ts';
import type { RestoreInput } from '../../workflows/restore-plan.ts';
import { startTestServer } from '../support/test-server.ts';
import { createMiniature, type Data, type Miniature } from './miniature.ts';

const stalledAfterMs = 20_000;
const shutdownMs = 15_000;

/** Runs whole nights in virtual time: a real worker, the time-skipping server, hosts in memory. */
export interface Nights {
  /** Starts a night on fresh hosts, with what `prepare` makes fail; several at once have a server each. */
  run(prepare: Prepare, what?: Length | Restored): Promise<Night>;
  close(): Promise<void>;
}

/** A short one is brought back soon after its last wait: what is tried again until then takes fewer rounds, all alike. */
export type Length = 'whole' | 'short';

/** A restore of all that a night has published, instead of a night. */
export interface Restored {
  readonly restored: Manifest;
}

export type Prepare = (miniature: Miniature, handle: () => Promise<WorkflowHandle>) => void;

export interface Night {
  readonly report: Report;
  readonly calls: readonly string[];
  readonly published: readonly string[];
  readonly manifests: readonly Manifest[];
  readonly differences: readonly string[];
  /** In all places that a restore was to replace; empty: it was none, or had no plan yet. */
  readonly lying: readonly Data[];
  readonly handle: WorkflowHandle;
}

export async function openNights(file: string): Promise<Nights> {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const whole = hasty(await loadSite(file));
  const loaded: Readonly<Record<Length, LoadedSite>> = { whole, short: shortened(whole) };
  const workflowBundle = await bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL('../../workflows/index.ts', import.meta.url)),
    logger: new DefaultLogger('ERROR'),
  });
  const idle: Theatre[] = [];
  return {
    async run(prepare, what = 'whole') {
      for (let attempt = 1; attempt <= 2; attempt++) {
        const theatre = idle.pop() ?? (await openTheatre(whole, workflowBundle));
        const gaveUp = new AbortController();
        const free = () => {
          if (!gaveUp.signal.aborted) idle.push(theatre);
        };
        const night = await Promise.race([
          runNight(theatre, typeof what === 'string' ? loaded[what] : whole, prepare, {
            signal: gaveUp.signal,
            ...(typeof what !== 'string' && what),
          }).finally(free),
          stalled(theatre.stage),
        ]);
        if (night !== 'stalled') return night;
        gaveUp.abort();
        void theatre.close().catch(() => undefined);
      }
      throw new StalledError();
    },
    async close() {
      await Promise.all(idle.map((theatre) => theatre.close()));
    },
  };
}

/** What cannot be brought back is tried again for minutes instead of hours: the rounds are all alike. */
function hasty(loaded: LoadedSite): LoadedSite {
  const { site } = loaded;
  return { ...loaded, site: { ...site, limits: { ...site.limits, giveUpAfterMs: 600_000 } } };
}

function shortened(loaded: LoadedSite): LoadedSite {
  const { site } = loaded;
  const nightly = site.procedures['nightly'];
  if (nightly === undefined) throw new Error('the example has no procedure nightly');
  const short = { ...nightly, restart: { kind: 'at', at: '03:10' }, upBy: '04:00' } as const;
  return { ...loaded, site: { ...site, procedures: { ...site.procedures, nightly: short } } };
}

/**
 * A night takes about a second. The Java test server (not a real one) now and then loses a workflow task, and then
 * holds virtual time for ever: the night is run again on a new one.
 */
async function stalled(stage: Stage): Promise<'stalled'> {
  for (let seen = -1; seen !== stage.miniature.calls.length;) {
    seen = stage.miniature.calls.length;
    await delay(stalledAfterMs, undefined, { ref: false });
  }
  return 'stalled';
}

/** The test server was stuck twice: nothing is known of this night. */
export class StalledError extends Error {
  override readonly name = 'StalledError';
}

/** One test server with its workers; the workers stay, the hosts behind them are new for each night. */
interface Theatre {
  readonly env: TestWorkflowEnvironment;
  readonly stage: Stage;
  close(): Promise<void>;
}

async function openTheatre(loaded: LoadedSite, workflowBundle: WorkflowBundle): Promise<Theatre> {
  const server = await startTestServer();
  const { env } = server;
  const stage = await setStage(env, loaded);
  const connection = env.nativeConnection;
  const workers = await Promise.all([
    Worker.create({ connection, workflowBundle, taskQueue: controlQueue, activities: controlOf(stage) }),
    ...loaded.site.hosts.map((host) =>
      Worker.create({
        connection,
        taskQueue: agentQueue(loaded.site.site, host),
        activities: current(stage, host),
      }),
    ),
  ]);
  // It has told the workers what there is to be called; each night brings one of its own.
  stage.miniature.close();
  const running = Promise.all(workers.map((worker) => worker.run()));
  running.catch(() => undefined);
  return {
    env,
    stage,
    async close() {
      for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
      await Promise.race([running, delay(shutdownMs, undefined, { ref: false })]);
      await server.close();
    },
  };
}

async function runNight(
  { env, stage }: Theatre,
  loaded: LoadedSite,
  prepare: Prepare,
  { signal, restored }: Partial<Restored> & { readonly signal: AbortSignal },
): Promise<Night> {
  Object.assign(stage, await setStage(env, loaded, restored));
  const { miniature } = stage;
  const started = deferred<WorkflowHandle>();
  prepare(miniature, () => started.promise);
  try {
    const { type, input } =
      restored === undefined
        ? { type: 'procedure', input: { site: 'vitam', procedure: 'nightly' } }
        : { type: 'restore', input: await restoreOf(env, restored) };
    const handle = await env.client.workflow.start(type, {
      workflowId: randomUUID(),
      // The test server ends its idle time with the longest timeout, ten years by default.
      workflowExecutionTimeout: '7 days',
      taskQueue: controlQueue,
      args: [input],
    });
    started.resolve(handle);
    const report = await env.connection.withAbortSignal(signal, () => reportOf(handle, stage));
    const { calls, published, manifests } = miniature;
    const places = (report.restore?.targets ?? []).flatMap(({ host, replaces }) =>
      replaces.map((path) => ({ host, path })),
    );
    const lying = miniature.lying(places);
    return { report, calls, published, manifests, differences: miniature.differences(), lying, handle };
  } finally {
    miniature.close();
  }
}

interface Stage {
  /** The end of a cancelled run carries none: what it had written last. */
  report?: Report;
  loaded: LoadedSite;
  plan: Plan;
  miniature: Miniature;
}

async function setStage(
  env: TestWorkflowEnvironment,
  loaded: LoadedSite,
  restored?: Manifest,
): Promise<Stage> {
  const plan = resolvePlan(loaded, { procedure: 'nightly', startedAt: await nextStart(env, loaded) });
  return {
    ...{ loaded, plan },
    miniature: createMiniature(
      loaded.site,
      loaded.digest,
      () => plan,
      () => nowOf(env),
      restored === undefined ? [] : [restored],
    ),
  };
}

/** Soon over: what cannot be brought back is tried again until then. */
async function restoreOf(env: TestWorkflowEnvironment, { set }: Manifest): Promise<RestoreInput> {
  const upBy = new Date((await env.currentTimeMs()) + 3_600_000).toISOString();
  return { site: set.site, set: set.id, upBy, by: 'ann', why: 'a test' };
}

function controlOf(stage: Stage): ControlActivities {
  return {
    resolvePlan: async () => {
      await stage.miniature.fault('control resolvePlan');
      return { plan: stage.plan, searchAttributes: [] };
    },
    resolveRestore: async (request) => {
      await stage.miniature.fault('control resolveRestore');
      return { plan: resolveRestore(stage.loaded, request), searchAttributes: [] };
    },
    listSites: async () => {
      const { site, digest, file } = stage.loaded;
      const stores = Object.entries(site.stores).map(
        ([name, { keeper, shared }]) => [name, { keeper, shared, others: [] }] as const,
      );
      return [
        {
          ...{ site: site.site, file, digest, timezone: site.timezone, hosts: site.hosts },
          ...{ procedures: Object.keys(site.procedures), stores: Object.fromEntries(stores) },
        },
      ];
    },
    writeReport: async (report) => {
      stage.report = report;
      await stage.miniature.fault('control writeReport');
    },
  };
}

function current(stage: Stage, host: string): object {
  const names = Object.keys(stage.miniature.activities(host)) as (keyof AgentActivities)[];
  return Object.fromEntries(
    names.map((name) => [name, (input: never) => stage.miniature.activities(host)[name](input)]),
  );
}

export async function planOf(file: string): Promise<Plan> {
  return resolvePlan(await loadSite(file), { procedure: 'nightly', startedAt: '2026-11-23T19:00:00.000Z' });
}

async function nowOf(env: TestWorkflowEnvironment): Promise<string> {
  return new Date(await env.currentTimeMs()).toISOString();
}

/** 20:00 in Paris of the first weekday that is still ahead in virtual time. */
async function nextStart(env: TestWorkflowEnvironment, loaded: LoadedSite): Promise<string> {
  const nowMs = await env.currentTimeMs();
  for (let day = 0; day < 8; day++) {
    const date = new Date(nowMs + day * 86_400_000).toISOString().slice(0, 10);
    for (const hour of ['18', '19']) {
      const startedAt = `${date}T${hour}:01:00.000Z`;
      if (Date.parse(startedAt) < nowMs) continue;
      try {
        resolvePlan(loaded, { procedure: 'nightly', startedAt });
        return startedAt;
      } catch {
        continue;
      }
    }
  }
  throw new Error('no night in the next week');
}

async function reportOf(handle: WorkflowHandle, stage: Stage): Promise<Report> {
  try {
    return (await handle.result()) as Report;
  } catch (error) {
    const cause = error instanceof WorkflowFailedError ? error.cause : undefined;
    if (cause instanceof ApplicationFailure) return cause.details?.[0] as Report;
    if (cause instanceof CancelledFailure && stage.report !== undefined) return stage.report;
    throw error;
  }
}

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((done) => (resolve = done));
  return { promise, resolve };
}
