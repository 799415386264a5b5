import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Client, Connection } from '@temporalio/client';
import {
  AlreadyRunningError,
  ColdbackupClient,
  NoSuchRunError,
  QuestionError,
  RefusedError,
  UnreachableError,
} from '../../client/index.ts';
import type { Progress } from '../../client/index.ts';
import { startAll, type Running } from '../cli/coldbackup.ts';
import { createMiniSite, type MiniSite } from '../cli/mini-site.ts';
import { createCleanup, waitFor } from '../support/processes.ts';

const cleanup = createCleanup();
let site: MiniSite;
let all: Running;
let client: ColdbackupClient;

beforeAll(async () => {
  site = await createMiniSite(cleanup);
  all = await startAll(cleanup, site);
  client = await ColdbackupClient.connect({ address: all.server.address });
  cleanup.add(() => client.close());
});
afterAll(cleanup.run);

test('run gives the report of a complete night, and of one that could not begin', async () => {
  const report = await client.run('mini', 'nightly');
  expect(report).toMatchObject({ site: 'mini', procedure: 'nightly', outcome: 'complete', notBack: [] });
  expect(report.sets).toHaveLength(1);

  expect(await client.run('mini', 'nightly')).toMatchObject({ outcome: 'already-ran', sets: [] });
  expect(await client.run('mini', 'nightly', { upBy: 'noon' })).toMatchObject({
    outcome: 'no-go',
    reason: expect.stringContaining('--up-by takes a clock time'),
  });
});

test('sets are found by the beginning of their id', async () => {
  const [summary] = await client.sets('mini', 'nightly');
  if (summary === undefined) throw new Error('no set');
  const { id } = summary.set;

  expect((await client.setShow('mini', id.slice(0, -2))).set.id).toBe(id);
  expect(await client.setVerify('mini', id)).toMatchObject([{ artifacts: 1, problems: [] }]);
  await expect(client.setShow('mini', id, { store: 'attic' })).rejects.toThrow(
    'unknown store "attic"; mini has: vault',
  );
});

test('questions about unknown names say which are known', async () => {
  const asked = client.plan('mini', 'nightlyy');
  await expect(asked).rejects.toThrow('unknown procedure "nightlyy": did you mean "nightly"?');
  await expect(asked).rejects.toMatchObject({ badInput: true });
  await expect(client.ledger('maxi')).rejects.toThrow(QuestionError);
});

describe('while runs wait', () => {
  test('each is found by its procedure, watched, and aborted with who and why', async () => {
    site.setBusy(1);
    const left = await client.start('mini', 'left');
    const right = await client.start('mini', 'right');
    await expect(client.start('mini', 'left')).rejects.toThrow(AlreadyRunningError);
    await expect(client.progress('mini')).rejects.toThrow(
      /2 runs of mini are active: mini\/(left|right) .*Say which procedure is meant/,
    );
    expect((await client.runs('mini')).filter(({ state }) => state === 'running')).toHaveLength(2);

    const seen: Progress[] = [];
    const watching = (async () => {
      for await (const { progress } of client.watch('mini', 'right', { everyMs: 100 })) seen.push(progress);
    })();
    await waitFor(() => seen.some(({ now }) => now.some(({ text }) => text === 'waiting for busy = 0')), {
      what: 'the wait of right',
      withinMs: 60_000,
    });
    expect(await client.planOf(right)).toMatchObject({ procedure: 'right', hosts: ['app-1', 'db-1'] });
    await waitFor(async () => (await client.look(left)).waits[0]?.last === '1', {
      what: 'what the agent saw',
      withinMs: 60_000,
    });
    const page = await pageOf(left.workflowId);
    expect(page.details).toMatch(
      /^\*\*mini\/left\*\* · since .*\n\n- \*\*2\*\* waiting for busy = 0 until .*, then fail/,
    );
    expect(page.details).toMatch(/\n\n\*\*down\*\* web on app-1 since/);
    expect(page.workers).toEqual([expect.stringMatching(/^agent mini\/app-1 \d+@/)]);

    await expect(client.abort('mini', 'right', { by: 'ada', why: ' ' })).rejects.toThrow(RefusedError);
    await client.abort('mini', 'right', { by: 'ada', why: 'wrong night' });
    await watching;
    expect(seen.at(-1)?.report).toMatchObject({ outcome: 'cancelled' });
    expect(await client.result(right)).toMatchObject({
      outcome: 'cancelled',
      reason: 'aborted by ada: wrong night',
      notBack: [],
    });

    site.setBusy(0);
    expect(await client.result(left)).toMatchObject({ outcome: 'complete', sets: [] });
    await expect(client.progress('mini')).rejects.toThrow(NoSuchRunError);
    expect(await site.services()).toMatchObject({ web: 'running', archive: 'running' });
  });

  test('a watch goes on while control is away, and says so', async () => {
    site.setBusy(1);
    const run = await client.start('mini', 'left', { again: true });
    const troubles: (string | null)[] = [];
    const watching = (async () => {
      for await (const { trouble } of client.follow(run, { everyMs: 100 })) troubles.push(trouble);
    })();
    await waitFor(() => troubles.length > 2, { what: 'first looks', withinMs: 60_000 });
    all.control.kill('SIGKILL');
    await waitFor(() => troubles.at(-1)?.startsWith('control does not answer') === true, {
      what: 'the trouble',
      withinMs: 60_000,
    });
    await all.startControl();
    site.setBusy(0);
    await watching;
    expect(troubles.at(-1)).toBeNull();
    expect(await client.result(run)).toMatchObject({ outcome: 'complete' });
  });
});

test('a server that is not there is an UnreachableError', async () => {
  await expect(ColdbackupClient.connect({ address: '127.0.0.1:1' })).rejects.toThrow(UnreachableError);
});

/** What the Temporal UI shows of it. */
async function pageOf(workflowId: string): Promise<{ details: string; workers: readonly unknown[] }> {
  const connection = await Connection.connect({ address: all.server.address });
  try {
    const handle = new Client({ connection }).workflow.getHandle(workflowId);
    const { currentDetails } = await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata');
    const { raw } = await handle.describe();
    const workers = (raw.pendingActivities ?? []).map(({ lastWorkerIdentity }) => lastWorkerIdentity);
    return { details: currentDetails, workers };
  } finally {
    await connection.close();
  }
}
