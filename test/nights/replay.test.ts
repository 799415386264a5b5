import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { ApplicationFailure } from '@temporalio/common';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { bundleWorkflowCode, DefaultLogger, Runtime, Worker, type WorkflowBundle } from '@temporalio/worker';
import { openNights, type Prepare } from './night.ts';

/**
 * Histories of each release, replayed by today's code: a run that began on one build must be able to end on it, and a
 * change of the workflow code shows here first. COLDBACKUP_RECORD=0.2.0 records those of a new release.
 */
const folder = 'test/histories';
const release = process.env['COLDBACKUP_RECORD'];

describe('recorded histories', () => {
  let workflowBundle: WorkflowBundle;

  beforeAll(async () => {
    if (release !== undefined) await record(release);
    Runtime.install({ logger: new DefaultLogger('ERROR') });
    workflowBundle = await bundleWorkflowCode({
      workflowsPath: fileURLToPath(new URL('../../workflows/index.ts', import.meta.url)),
      logger: new DefaultLogger('ERROR'),
    });
  }, 300_000);

  const files = readdirSync(folder).filter((name) => name.endsWith('.json'));

  test.each(files)('are replayed by the code of today: %s', async (file) => {
    await expect(Worker.runReplayHistory({ workflowBundle }, read(file))).resolves.toBeUndefined();
  });

  test('are not replayed when the order of what is asked for has changed', async () => {
    const history = read(files[0] ?? '');
    const other = JSON.parse(JSON.stringify(history).replaceAll('"claim"', '"claimed"')) as unknown;
    await expect(Worker.runReplayHistory({ workflowBundle }, other)).rejects.toThrow(/[Nn]ondeterminism/);
  });
});

function read(file: string): unknown {
  return JSON.parse(readFileSync(join(folder, file), 'utf8'));
}

async function record(name: string): Promise<void> {
  const nights = await openNights('examples/vitam.yaml');
  const kinds: Record<string, Prepare> = {
    complete: () => undefined,
    failed: (miniature) => {
      miniature.fault = async (call) => {
        if (!call.includes('mongodbGate')) return;
        await miniature.hush();
        throw ApplicationFailure.nonRetryable('made to fail', 'Injected');
      };
    },
    cancelled: (miniature, handle) => {
      miniature.fault = async (call) => {
        if (!call.includes('applyChange 3/1')) return;
        await miniature.hush();
        await (await handle()).cancel();
      };
    },
  };
  mkdirSync(folder, { recursive: true });
  for (const [kind, prepare] of Object.entries(kinds)) {
    const { handle } = await nights.run(prepare);
    // Stack traces name where the checkout was, which is nobody's business.
    const history = historyToJSON(await handle.fetchHistory()).replaceAll(`${process.cwd()}/`, '/checkout/');
    writeFileSync(join(folder, `${name}-${kind}.json`), history);
  }
  await nights.close();
}
