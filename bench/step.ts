// `node dist/bench/step.js [STEPS]`: what a step costs. A run of STEPS stop steps whose service does nothing (but with
// the journal's two writes to the disk), against as many bare activities of an empty workflow on the same server.
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { locate } from '#components';
import { DEFAULT_LIMITS } from '../config/schema/limits.ts';
import { beating } from '../activities/beat.ts';
import { createJobs } from '../activities/ledger/jobs.ts';
import { openJournal } from '../activities/ledger/journal.ts';
import { createLedger } from '../activities/ledger/ledger.ts';
import type { World } from '../activities/ledger/world.ts';
import { startDevServer } from '../demo/local/temporal.ts';
import type { Plan } from '../model/plan.ts';
import type { Service, Site } from '../model/site.ts';
import { agentQueue, controlQueue } from '../workflows/messages.ts';
import { quantile } from './figures.ts';

const steps = Number(process.argv[2] ?? 500);
const host = 'bench-1';
const digest = 'bench';
const nothing: World = {
  observe: async () => ({ kind: 'service', state: 'running', dragged: [] }),
  stop: async () => ({ tookMs: 0, exitStatus: 0, instance: null }),
  stateOf: async () => 'stopped',
  letGo: async () => undefined,
  start: async () => undefined,
  instanceOf: async () => null,
  guard: async () => 'holds',
  balancer: {
    observe: async () => ({ kind: 'balancer', settings: null }),
    stop: async () => undefined,
    restore: async () => undefined,
  },
  snapshot: { make: async () => undefined, remove: async () => undefined },
  restore: {
    observe: async () => ({ kind: 'data', inodes: {} }),
    unpack: async () => undefined,
    remove: async () => undefined,
    moveAside: async () => [],
    moveBack: async () => '',
    aside: async () => [],
  },
};

Runtime.install({ logger: new DefaultLogger('ERROR') });
const command = locate('temporal')?.command;
if (command === undefined) throw new Error('no temporal: npm run setup');
const folder = mkdtempSync(join(tmpdir(), 'coldbackup-bench-'));
const server = await startDevServer({ command, dbFile: join(folder, 'temporal.db') });
const connection = await NativeConnection.connect({ address: server.address });
const client = new Client({ connection: await Connection.connect({ address: server.address }) });
const journal = openJournal(join(folder, 'state'));
try {
  await measure();
} finally {
  await connection.close().catch(() => undefined);
  await server.stop();
  journal.release();
  rmSync(folder, { recursive: true, force: true });
}

async function measure(): Promise<void> {
  const site = siteOf(steps);
  const ledger = createLedger({
    ...{ host, site, siteDigest: digest, journal, world: nothing },
    jobs: createJobs(journal, () => new Date().toISOString()),
    signal: () => new AbortController().signal,
    warn: () => undefined,
  });
  const times: number[] = [];
  const workers = await Promise.all([
    Worker.create({
      connection,
      taskQueue: controlQueue,
      workflowsPath: fileURLToPath(new URL('./workflows.js', import.meta.url)),
      activities: {
        resolvePlan: async () => ({ plan: planOf(site), searchAttributes: [] }),
        writeReport: async () => undefined,
        nothing: async () => void times.push(performance.now()),
      },
    }),
    Worker.create({
      connection,
      taskQueue: agentQueue(site.site, host),
      activities: {
        ...Object.fromEntries(
          Object.entries(ledger).map(([name, activity]: [string, (input: never) => Promise<unknown>]) => [
            name,
            (input: never) => {
              if (name === 'applyChange') times.push(performance.now());
              return beating(() => activity(input));
            },
          ]),
        ),
        preflight: async () => ({
          ...{ host, version: 'bench', protocol: 1, siteDigest: digest, pid: 1, checks: [] },
          clock: new Date().toISOString(),
        }),
      },
    }),
  ]);
  const running = Promise.all(workers.map((worker) => worker.run()));
  const taskQueue = controlQueue;
  await run('bare', { count: 50, taskQueue }); // warm-up
  const rounds: { bare: number[]; step: number[] }[] = [];
  for (let round = 0; round < 3; round++) {
    const bare = await timed(times, () => run('bare', { count: steps, taskQueue }));
    let events = 0;
    const step = await timed(times, async () => {
      events = await run('procedure', { site: site.site, procedure: 'bench', again: true });
    });
    rounds.push({ bare, step });
    const ratio = quantile(step, 0.5) / quantile(bare, 0.5);
    console.log(
      `round ${round + 1}: bare ${text(bare)}; step ${text(step)}; ratio of medians ${ratio.toFixed(2)}`,
    );
    const tenth = Math.floor(step.length / 10);
    console.log(
      `         step, first tenth ${text(step.slice(0, tenth))}; last tenth ${text(step.slice(-tenth))}; ${events} events in the history`,
    );
  }
  const all = (which: 'bare' | 'step') => rounds.flatMap((round) => round[which]);
  console.log(
    `all:     bare ${text(all('bare'))}; step ${text(all('step'))}; ratio of medians ${(quantile(all('step'), 0.5) / quantile(all('bare'), 0.5)).toFixed(2)}`,
  );
  for (const worker of workers) worker.shutdown();
  await running;
}

/** Gives the number of events in its history. */
async function run(workflow: string, input: object): Promise<number> {
  const workflowId = randomUUID();
  const handle = await client.workflow.start(workflow, {
    ...{ workflowId, taskQueue: controlQueue },
    args: [input],
  });
  await handle.result();
  return (await handle.describe()).historyLength;
}

/** Milliseconds from one activity's begin to the next one's: all that a step costs, scheduling and commands included. */
async function timed(times: number[], work: () => Promise<unknown>): Promise<number[]> {
  times.length = 0;
  await work();
  return times.slice(1).map((time, index) => time - (times[index] ?? time));
}

function text(values: readonly number[]): string {
  return `median ${quantile(values, 0.5).toFixed(1)} ms, p95 ${quantile(values, 0.95).toFixed(1)} ms`;
}

function siteOf(count: number): Site {
  const service: Service = {
    hosts: [host],
    driver: { kind: 'command', start: ['/bin/true'], stop: ['/bin/true'], status: ['/bin/true'] },
    stopWithinMs: 60_000,
    readyWithinMs: 60_000,
    normally: 'running',
  };
  const services = Object.fromEntries(
    Array.from({ length: count }, (_, index) => [`service-${index}`, service]),
  );
  return {
    ...{ site: 'bench', timezone: 'UTC', hosts: [host], services },
    ...{ jobs: {}, counts: {}, databases: {}, stores: {}, procedures: {}, limits: DEFAULT_LIMITS },
  };
}

function planOf(site: Site): Plan {
  const later = (hours: number) => new Date(Date.now() + hours * 3_600_000).toISOString();
  const timing = { stopWithinMs: 60_000, readyWithinMs: 60_000 };
  return {
    ...{ protocol: 1, site: site.site, procedure: 'bench', siteDigest: digest, timezone: 'UTC' },
    ...{
      night: later(0).slice(0, 10),
      windowStart: later(0),
      restartAt: null,
      upBy: later(4),
      hardLimit: later(6),
    },
    ...{ hosts: [host], stores: {}, keep: null, warnings: [] },
    holds: { [host]: Object.keys(site.services).map((name) => `service/${name}`) },
    timing: Object.fromEntries(Object.keys(site.services).map((name) => [name, timing])),
    steps: Object.keys(site.services).map((service, index) => ({
      ...{ kind: 'stop', id: String(index + 1), label: `stop ${service}`, onFailure: 'fail' },
      services: [{ service, hosts: [host], ...timing }],
    })),
  };
}
