import { mkdir, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker, type NativeConnection, type WorkflowBundleOption } from '@temporalio/worker';
import type { Logger } from 'pino';
import { createControlActivities } from '../activities/control.ts';
import type { Report } from '../model/progress.ts';
import { controlQueue, searchAttributes } from '../workflows/messages.ts';
import { aborted } from './aborted.ts';
import { connectPatiently, identityOf, serverOptions, type Server } from './connection.ts';

export interface ControlOptions extends Server {
  /** A folder of site files, or one file. */
  readonly sites: string;
  /** Where reports are kept, a JSON file a night; absent: only logged. */
  readonly reports?: string;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly onReady?: () => void;
}

/** Runs the workflows, and the activities that belong to no host. */
export async function runControl({
  sites,
  reports,
  logger,
  signal,
  onReady,
  ...server
}: ControlOptions): Promise<void> {
  const connection = await connectPatiently(server, logger, signal);
  const { namespace } = serverOptions(server);
  const worker = await Worker.create({
    connection,
    namespace,
    taskQueue: controlQueue,
    identity: identityOf('control'),
    ...workflowCode(),
    activities: createControlActivities({
      sites,
      searchAttributes: () => registered(connection, namespace),
      onReport: (report) => keepReport(report, reports, logger),
    }),
    shutdownGraceTime: '5s',
  });
  logger.info({ queue: controlQueue, sites }, 'control ready');
  onReady?.();
  await worker.runUntil(aborted(signal));
  await connection.close();
}

/** The bundle that the build made; from sources (tests) it is made at the start. */
export function workflowCode(): { workflowBundle: WorkflowBundleOption } | { workflowsPath: string } {
  const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
  const codePath = here('../workflows/bundle.cjs');
  if (existsSync(codePath)) return { workflowBundle: { codePath } };
  return {
    workflowsPath: [here('../workflows/index.js'), here('../workflows/index.ts')].find(existsSync) ?? '',
  };
}

async function registered(connection: NativeConnection, namespace: string): Promise<readonly string[]> {
  const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
  return Object.values(searchAttributes).filter((name) => name in customAttributes);
}

async function keepReport(report: Report, folder: string | undefined, logger: Logger): Promise<void> {
  const { site, procedure, night, outcome, reason, notBack, endedAt } = report;
  logger.info({ site, procedure, night, outcome, reason, notBack }, 'run ended');
  if (folder === undefined) return;
  const place = join(folder, site, procedure);
  await mkdir(place, { recursive: true });
  const name = `${night ?? 'no-night'}-${endedAt.replaceAll(':', '')}.json`;
  await writeFile(join(place, name), `${JSON.stringify(report, null, 2)}\n`);
}
