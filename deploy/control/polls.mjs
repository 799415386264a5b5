// Health of the container: a worker of this host has asked for work on control's queue within the last two minutes.
import { hostname } from 'node:os';
import { Connection } from '@temporalio/client';
import { loadClientConnectConfig } from '@temporalio/envconfig';

const taskQueue = 'coldbackup';
const freshMs = 120_000;
const workflowTasks = 1;

const { connectionOptions, namespace = 'default' } = loadClientConnectConfig();
const connection = await Connection.connect({ ...connectionOptions, connectTimeout: 5_000 });
try {
  const { pollers } = await connection.workflowService.describeTaskQueue({
    namespace,
    taskQueue: { name: taskQueue },
    taskQueueType: workflowTasks,
  });
  const mine = pollers.filter(({ identity }) => identity?.endsWith(`@${hostname()}`));
  const last = Math.max(0, ...mine.map(({ lastAccessTime }) => Number(lastAccessTime?.seconds ?? 0) * 1_000));
  if (Date.now() - last > freshMs) {
    console.error(`no worker of ${hostname()} polls ${taskQueue} (pollers: ${pollers.length})`);
    process.exitCode = 1;
  }
} finally {
  await connection.close();
}
