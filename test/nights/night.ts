import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { bundleWorkflowCode, DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { loadSite, type LoadedSite } from '../../config/load.ts';
import { resolvePlan } from '../../config/plan.ts';
import type { AgentActivities, ControlActivities } from '../../model/activities.ts';
import type { Plan } from '../../model/plan.ts';
import type { Report } from '../../model/progress.ts';
import { agentQueue, controlQueue } from '../../workflows/messages.ts';
import { testServerPath } from '../support/test-server.ts';
import { createMiniature, type Miniature } from './miniature.ts';

/** Runs whole nights in virtual time: a real worker, the time-skipping server, hosts in memory. */
export interface Nights {
  /** Starts a night on fresh hosts, with what `prepare` makes fail. */
  run(prepare: (miniature: Miniature, handle: () => Promise<WorkflowHandle>) => void): Promise<Night>;
  close(): Promise<void>;
}

export interface Night {
  readonly report: Report;
  readonly calls: readonly string[];
  readonly published: readonly string[];
  readonly differences: readonly string[];
  readonly handle: WorkflowHandle;
}

export async function openNights(file: string): Promise<Nights> {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const loaded = await loadSite(file);
  const env = await TestWorkflowEnvironment.createTimeSkipping({
    server: { executable: { type: 'existing-path', path: testServerPath() } },
  });
  const workflowBundle = await bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL('../../workflows/index.ts', import.meta.url)),
    logger: new DefaultLogger('ERROR'),
  });
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
  const running = workers.map((worker) => worker.run());
  return {
    async run(prepare) {
      const t0 = Date.now();
      Object.assign(stage, await setStage(env, loaded));
      const { miniature } = stage;
      const started = deferred<WorkflowHandle>();
      prepare(miniature, () => started.promise);
      try {
        const handle = await env.client.workflow.start('procedure', {
          workflowId: randomUUID(),
          workflowExecutionTimeout: '7 days',
          taskQueue: controlQueue,
          args: [{ site: 'vitam', procedure: 'nightly' }],
        });
        started.resolve(handle);
        const report = await reportOf(handle);
        if (process.env['NIGHTS'])
          process.stderr.write(
            `${((Date.now() - t0) / 1000).toFixed(1)} s ${report.outcome} ${await nowOf(env)}\n`,
          );
        const { calls, published } = miniature;
        return { report, calls, published, differences: miniature.differences(), handle };
      } finally {
        miniature.close();
      }
    },
    async close() {
      for (const worker of workers) worker.shutdown();
      await Promise.all(running);
      await env.teardown();
    },
  };
}

interface Stage {
  plan: Plan;
  miniature: Miniature;
}

async function setStage(env: TestWorkflowEnvironment, loaded: LoadedSite): Promise<Stage> {
  const plan = resolvePlan(loaded, { procedure: 'nightly', startedAt: await nextStart(env, loaded) });
  return {
    plan,
    miniature: createMiniature(
      loaded.site,
      loaded.digest,
      () => plan,
      () => nowOf(env),
    ),
  };
}

function controlOf(stage: Stage): ControlActivities {
  return {
    resolvePlan: async () => {
      await stage.miniature.fault('control resolvePlan');
      return { plan: stage.plan, searchAttributes: [] };
    },
    listSites: async () => [],
    writeReport: async () => stage.miniature.fault('control writeReport'),
  };
}

/** The workers stay, the hosts behind them are new for each night. */
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

/** A failed or cancelled run carries its report in the failure. */
async function reportOf(handle: WorkflowHandle): Promise<Report> {
  try {
    return (await handle.result()) as Report;
  } catch (error) {
    const cause = error instanceof WorkflowFailedError ? error.cause : undefined;
    if (cause instanceof ApplicationFailure || cause instanceof CancelledFailure)
      return cause.details?.[0] as Report;
    throw error;
  }
}

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((done) => (resolve = done));
  return { promise, resolve };
}
