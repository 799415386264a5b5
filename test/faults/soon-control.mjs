// Control for a test that cannot wait for the morning: every plan is up by some seconds after it was resolved, however
// long its machine took until then. All else is the real thing.
import process from 'node:process';
import { NativeConnection, Worker } from '@temporalio/worker';
import { createControlActivities } from '../../dist/activities/control.js';
import { workflowCode } from '../../dist/workers/control.js';

const [sites, seconds] = process.argv.slice(2);
const real = createControlActivities({
  sites,
  searchAttributes: async () => [],
  onReport: async () => undefined,
});
const connection = await NativeConnection.connect({ address: process.env['TEMPORAL_ADDRESS'] });
const worker = await Worker.create({
  connection,
  taskQueue: 'coldbackup',
  ...workflowCode(),
  activities: { ...real, resolvePlan: async (input) => soon(await real.resolvePlan(input)) },
});
process.stdout.write('soon-control ready"\n');
await worker.run();

function soon(resolved) {
  const upByMs = Date.now() + Number(seconds) * 1000;
  const at = (ms) => new Date(ms).toISOString();
  const { plan } = resolved;
  return {
    ...resolved,
    plan: { ...plan, restartAt: at(upByMs - 1000), upBy: at(upByMs), hardLimit: at(upByMs + 3_600_000) },
  };
}
