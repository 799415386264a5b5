// `node dist/chaos/control.js SITES [broken]`: control as it is, but for the nights of procedure `short`: nobody waits for the
// morning, they restart some seconds before the up-by that they were started with. broken: a build that fails every task.
import { NativeConnection, Worker } from '@temporalio/worker';
import { createControlActivities } from '../activities/control.ts';
import { checkoutPath } from '../demo/checkout.ts';
import type { ResolvedPlan } from '../model/activities.ts';
import { installRuntime, createLogger } from '../workers/logging.ts';
import { workflowCode } from '../workers/control.ts';
import { controlQueue } from '../workflows/messages.ts';

const restartBeforeMs = 5_000;

type ResolveInput = Parameters<typeof real.resolvePlan>[0];

const [sites = '', broken] = process.argv.slice(2);
const logger = createLogger('control');
installRuntime(logger);
const real = createControlActivities({
  sites,
  searchAttributes: async () => [],
  onReport: async (report) => logger.info({ report }, 'run ended'),
});
const connection = await NativeConnection.connect({ address: process.env['TEMPORAL_ADDRESS'] ?? '' });
const worker = await Worker.create({
  connection,
  taskQueue: controlQueue,
  ...(broken === undefined
    ? workflowCode()
    : { workflowsPath: checkoutPath('dist/chaos/broken-workflows.js') }),
  activities: { ...real, resolvePlan: async (input: ResolveInput) => soon(await real.resolvePlan(input)) },
  shutdownGraceTime: '5s',
});
logger.info('control ready');
await worker.run();

function soon(resolved: ResolvedPlan): ResolvedPlan {
  const { plan } = resolved;
  if (plan.procedure !== 'short') return resolved;
  const restartAt = new Date(Date.parse(plan.upBy) - restartBeforeMs).toISOString();
  return { ...resolved, plan: { ...plan, restartAt } };
}
