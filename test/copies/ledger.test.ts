import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createCopyActivities } from '../../activities/copy.ts';
import { openEntries } from '../../activities/ledger/records.ts';
import type { Change, ChangeRequest, Ref } from '../../model/ledger.ts';
import { openTestHost, smallSite, type TestHost } from '../ledger/host.ts';
import { isAlive, waitFor } from '../support/processes.ts';

const change: Change = { kind: 'snapshot-made', database: 'db', member: 'one:27017', by: 'reflink' };
const resource = 'snapshot/db/one:27017';

describe('a snapshot in the journal of its host', () => {
  let host: TestHost;
  beforeEach(() => {
    host = openTestHost();
  });
  afterEach(() => host.close());

  test('is announced with its place before anything is copied, and beside the data, under a name of its own', async () => {
    const ref = await claim();
    const seen: string[] = [];
    host.duringSnapshot = async () =>
      void seen.push(readFileSync(join(host.folder, 'journal.jsonl'), 'utf8'));
    await host.ledger.applyChange(make(ref, '0/1/db/a'));
    await host.ledger.applyChange(make(ref, '0/1/db/b'));
    const [first, second] = host.asked.map((asked) => asked.replace('copy to ', ''));
    expect(first).toMatch(/^\/data\/db\.coldbackup-[0-9a-f]{12}$/);
    expect(second).not.toBe(first);
    expect(seen[0]).toContain(`"place":{"by":"reflink","path":"${first ?? ''}","roots":["/data/db"]}`);
    expect(seen[0]).not.toContain('"r":"end"');
  });

  test('is undone where its journal was written before trees of files were copied', async () => {
    const ref = await claim();
    await host.ledger.applyChange(make(ref, '0/1/db/a'));
    const path = host.asked[0]?.replace('copy to ', '') ?? '';
    const journal = join(host.folder, 'journal.jsonl');
    writeFileSync(
      journal,
      readFileSync(journal, 'utf8').replace('"roots":["/data/db"]', '"root":"/data/db"'),
    );
    host = host.restart();
    host.nowMs += 24 * 3_600_000;
    expect(await host.alone()).toEqual({ kind: 'back' });
    expect(host.asked).toEqual([`remove ${path}`]);
  });

  test('is undone by removing just that place, whoever undoes, once', async () => {
    const ref = await claim();
    await host.ledger.applyChange(make(ref, '0/1/db/a'));
    const path = host.asked[0]?.replace('copy to ', '') ?? '';
    host = host.restart();
    host.nowMs += 24 * 3_600_000;
    expect(await host.alone()).toEqual({ kind: 'back' });
    expect(host.asked).toEqual([`remove ${path}`]);
    expect(host.journal.state().claim).toBeNull();
  });

  test('whose making failed is removed too, and made at the same place by a second attempt', async () => {
    const ref = await claim();
    host.duringSnapshot = () => Promise.reject(new Error('no room'));
    await expect(host.ledger.applyChange(make(ref, '0/1/db/a'))).rejects.toThrow('no room');
    host.duringSnapshot = async () => undefined;
    await host.ledger.applyChange(make(ref, '0/1/db/a'));
    expect(new Set(host.asked).size).toBe(1);
    const [entry] = await host.ledger.sealScope({ ref, scope: '0/1/db' });
    expect(await host.ledger.undoChange({ ref, id: entry?.id ?? '' })).toMatchObject({ did: 'removed' });
    await host.ledger.release({ ref });
  });

  test('that is still being made is ended by whoever takes over, and nothing is left open but what is to be removed', async () => {
    const ref = await claim();
    const reasons: unknown[] = [];
    host.duringSnapshot = ({ signal }) =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          reasons.push(signal.reason);
          reject(signal.reason as Error);
        });
      });
    const making = host.ledger.applyChange(make(ref, '0/1/db/a'));
    making.catch(() => undefined);
    await waitFor(() => host.asked.length > 0, { what: 'the copy to begin', withinMs: 5_000 });
    const { site, journal } = ref;
    const { entries } = await host.ledger.takeOver({
      ...{ site, host: ref.host, journal, by: 'watchdog', why: 'the run is gone', epoch: null },
    });
    await expect(making).rejects.toThrow('the run is gone');
    expect(reasons).toHaveLength(1);
    expect(entries).toMatchObject([{ id: '0/1/db/a', endedAt: null }]);
  });

  test('of an agent that died: what still copies is ended when the next one starts', async () => {
    const ref = await claim();
    const child = spawn('sleep', ['60'], { detached: true, stdio: 'ignore' });
    host.duringSnapshot = async ({ onProcess }) => {
      onProcess(child.pid ?? 0);
      throw new Error('as if the agent died here');
    };
    await expect(host.ledger.applyChange(make(ref, '0/1/db/a'))).rejects.toThrow('as if');
    expect(isAlive(child.pid ?? 0)).toBe(true);
    host = host.restart();
    await waitFor(() => !isAlive(child.pid ?? 0), { what: 'the copying process to end', withinMs: 5_000 });
    expect(openEntries(host.journal.state())).toMatchObject([{ id: '0/1/db/a', endedAt: null }]);
  });

  test('that a server has opened is archived no more, and is removed once the server is gone', async () => {
    const ref = await claim();
    const id = '0/1/db/a';
    await host.ledger.applyChange(make(ref, id));
    const child = spawn('sleep', ['60'], { detached: true, stdio: 'ignore' });
    const never = new AbortController().signal;
    const reading = host.jobs.run(
      id,
      id,
      async ({ onProcess }) => {
        onProcess(child.pid ?? 0);
        return new Promise<never>(() => undefined);
      },
      never,
    );
    reading.catch(() => undefined);
    const copies = createCopyActivities({
      ...{ site: smallSite(), host: ref.host, journal: host.journal, jobs: host.jobs },
      ...{ signal: () => never, listen: () => () => undefined },
    });
    const source = { kind: 'snapshot', database: 'db', member: 'one:27017', change: id } as const;
    const set = { site: ref.site, procedure: 'nightly', id: 'one' };
    const wanted = { ref, position: id, set, store: 'vault', artifact: 'db/one.tar.zst', source };
    await expect(copies.copy({ ...wanted, id: 'archive' })).rejects.toThrow('it is archived no more');
    await host.ledger.sealScope({ ref, scope: '0/1/db' });
    await expect(reading).rejects.toThrow('its step is over');
    await host.ledger.undoChange({ ref, id });
    expect(isAlive(child.pid ?? 0)).toBe(false);
    expect(host.asked.at(-1)).toMatch(/^remove /);
  });

  test('of a member that the claim does not hold, or of another host, is refused', async () => {
    const ref = await host.claim();
    await expect(host.ledger.applyChange(make(ref, '0/1/db/a'))).rejects.toMatchObject({
      type: 'UnknownName',
    });
    const elsewhere = { ...make(ref, '0/1/db/b'), change: { ...change, member: 'two:27017' } };
    await expect(host.ledger.applyChange(elsewhere)).rejects.toThrow('is not on one');
    expect(host.asked).toEqual([]);
  });

  function claim(): Promise<Ref> {
    return host.claim({ holds: [resource] });
  }

  function make(ref: Ref, id: string): ChangeRequest {
    return host.change(ref, id, { change });
  }
});
