import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { openEntries } from '../../activities/ledger/records.ts';
import type { Change, ChangeRequest, Ref } from '../../model/ledger.ts';
import { openTestHost, type TestHost } from '../ledger/host.ts';
import { isAlive, waitFor } from '../support/processes.ts';

const set = { site: 'small', procedure: 'nightly', id: '2026-11-20T190000Z-0a1b2c3d' };
const what = { database: 'db', member: 'one:27017', set, artifact: 'db/rs.tar.zst' };
const unpacked: Change = { kind: 'set-unpacked', store: 'vault', ...what };
const moved: Change = { kind: 'data-moved-aside', ...what };
const staging = /^\/data\/db\.coldbackup-[0-9a-f]{12}$/;
const aside = /^\/data\/db\.before-\d{8}T\d{6}Z-r1$/;

describe('a restore in the journal of its host', () => {
  let host: TestHost;
  beforeEach(() => {
    host = openTestHost();
  });
  afterEach(() => host.close());

  test('announces its places before anything is unpacked or moved, all beside the data', async () => {
    const ref = await claim();
    let seen = '';
    host.duringMove = async () => void (seen = readFileSync(join(host.folder, 'journal.jsonl'), 'utf8'));
    await host.ledger.applyChange(unpack(ref));
    const result = await host.ledger.applyChange(move(ref));
    expect(host.asked[0]?.replace('unpack in ', '')).toMatch(staging);
    expect(result.aside).toEqual([expect.stringMatching(aside)]);
    expect(seen).toContain(`"roots":[{"path":"/data/db","aside":"${result.aside?.[0] ?? ''}"}]`);
    expect(seen.trim().split('\n').at(-1)).toContain('"r":"intent"');
  });

  test('is undone backwards by whoever undoes: what lay there when it was moved comes back, then staging goes', async () => {
    const ref = await claim();
    await host.ledger.applyChange(unpack(ref));
    host.inode = '2'; // Its services ran until now.
    await host.ledger.applyChange(move(ref));
    host = host.restart();
    host.nowMs += 24 * 3_600_000;
    expect(await host.alone()).toEqual({ kind: 'back' });
    expect(host.asked).toEqual([
      'move back /data/db 2',
      expect.stringMatching(/^remove \/data\/db\.coldbackup-/),
    ]);
    expect(host.journal.state().claim).toBeNull();
  });

  test('whose data could not be moved back starts no server on it, and keeps the folder beside it, until that is done', async () => {
    const ref = await host.claim({ holds: ['data/db/one:27017', 'service/db-a'] });
    const change: Change = { kind: 'service-stopped', service: 'db-a' };
    await host.ledger.applyChange(unpack(ref));
    await host.ledger.applyChange(host.change(ref, '3/1/db@one', { change, position: '3/1/db' }));
    await host.ledger.applyChange(move(ref));
    host.duringMoveBack = () => Promise.reject(new Error('in use'));
    host.nowMs += 24 * 3_600_000;
    expect(await host.alone()).toEqual({ kind: 'not-back', count: 3 });
    expect(host.states.get(service())).toBe('stopped');
    await expect(
      host.ledger.undoChange({ ref: { ...ref, epoch: ref.epoch + 1 }, id: '3/1/db@one' }),
    ).rejects.toThrow('it waits for data on one that is not moved back (change 3/2/db@one)');
    expect(host.asked).not.toContainEqual(expect.stringMatching(/^(start|remove)/));
    host.duringMoveBack = async () => undefined;
    expect(await host.alone()).toEqual({ kind: 'back' });
    expect(host.asked.slice(-4)).toEqual([
      ...['move back /data/db 1', 'let go', 'start'],
      expect.stringMatching(/^remove \/data\/db\.coldbackup-/),
    ]);
  });

  test('that was committed stays, whoever undoes and however often the agent dies', async () => {
    const ref = await claim();
    await host.ledger.applyChange(unpack(ref));
    await host.ledger.applyChange(move(ref));
    await host.ledger.commit({ ref, scope: '3' });
    host = host.restart();
    await host.ledger.commit({ ref, scope: '3' });
    expect(await host.ledger.sealScope({ ref, scope: '3' })).toMatchObject([{ committed: true }]);
    const { did } = await host.ledger.undoChange({ ref, id: '3/2/db@one' });
    expect(did).toMatch(/^the restored data stays; what was there before is in \/data\/db\.before-/);
    await host.ledger.undoChange({ ref, id: '0/db@one' });
    expect(host.asked).toEqual([expect.stringMatching(/^remove /)]);
    await host.ledger.release({ ref });
  });

  test('cannot be committed while it is half done, once its scope is closed, by another, or past its time', async () => {
    const ref = await claim();
    await host.ledger.applyChange(unpack(ref));
    host.duringMove = () => Promise.reject(new Error('no rights'));
    await expect(host.ledger.applyChange(move(ref))).rejects.toThrow('no rights');
    await expect(host.ledger.commit({ ref, scope: '3' })).rejects.toThrow('is not done: it cannot be kept');
    host.duringMove = async () => undefined;
    await host.ledger.applyChange(move(ref));
    await expect(host.ledger.commit({ ref: { ...ref, epoch: 9 }, scope: '3' })).rejects.toMatchObject({
      type: 'Fenced',
    });
    const early = host.nowMs;
    host.nowMs += 24 * 3_600_000;
    await expect(host.ledger.commit({ ref, scope: '3' })).rejects.toMatchObject({ type: 'Late' });
    host.nowMs = early;
    await host.ledger.sealScope({ ref, scope: '3' });
    await expect(host.ledger.commit({ ref, scope: '3' })).rejects.toMatchObject({ type: 'Closed' });
    await host.ledger.undoChange({ ref, id: '3/2/db@one' });
    expect(host.asked.at(-1)).toBe('move back /data/db 1');
  });

  test('starts a server that was found stopped once its new data is committed, and else leaves it stopped', async () => {
    for (const commits of [false, true]) {
      host.states.set(service(), 'stopped');
      const ref = await host.claim({ again: true });
      const change: Change = { kind: 'service-stopped', service: service(), startsOnceKept: true };
      await host.ledger.applyChange(host.change(ref, '3/1/db@one', { change, position: '3/1/db' }));
      if (commits) await host.ledger.commit({ ref, scope: '3' });
      host = host.restart();
      host.nowMs += 24 * 3_600_000;
      expect(await host.alone()).toEqual({ kind: 'back' });
      expect(host.states.get(service())).toBe(commits ? 'running' : 'stopped');
      host.nowMs -= 24 * 3_600_000;
    }
  });

  test('of a cluster has the balancer of the set once it is committed, and before that the one that it had', async () => {
    const settings = { balancer: { _id: 'balancer', stopped: false } };
    const replaced: Change = { kind: 'balancer-replaced', database: 'db', settings };
    for (const commits of [false, true]) {
      const ref = await host.claim({ holds: ['settings/db'], again: true });
      await host.ledger.applyChange(host.change(ref, '3/0/db@one', { change: replaced, position: '3/0/db' }));
      if (commits) await host.ledger.commit({ ref, scope: '3' });
      const { did } = await host.ledger.undoChange({ ref, id: '3/0/db@one' });
      expect(did).toContain(commits ? 'as the night of the set' : 'of the data as it was found');
      await host.ledger.release({ ref });
    }
    expect(host.asked).toEqual([`balancer of db ${JSON.stringify(settings)}`]);
  });

  test('is one at a time: another set is not unpacked over one that a lost run has left', async () => {
    const ref = await claim();
    await host.ledger.applyChange(unpack(ref));
    const other = { ...unpack(ref), id: '0/db/other@one' };
    await expect(host.ledger.applyChange(other)).rejects.toThrow('in the middle of another restore');
  });

  test('of an agent that died: what still unpacks is ended before staging is removed', async () => {
    const ref = await claim();
    const child = spawn('sleep', ['60'], { detached: true, stdio: 'ignore' });
    host.duringUnpack = async ({ onProcess }) => {
      onProcess(child.pid ?? 0);
      throw new Error('as if the agent died here');
    };
    await expect(host.ledger.applyChange(unpack(ref))).rejects.toThrow('as if');
    expect(openEntries(host.journal.state())).toMatchObject([{ id: '0/db@one', endedAt: null }]);
    await host.ledger.undoChange({ ref, id: '0/db@one' });
    await waitFor(() => !isAlive(child.pid ?? 0), { what: 'it to be gone', withinMs: 5_000 });
    expect(host.asked.at(-1)).toMatch(/^remove /);
  });

  test('of data that the claim does not hold, or that is on another host, is refused', async () => {
    const ref = await host.claim();
    await expect(host.ledger.applyChange(unpack(ref))).rejects.toMatchObject({ type: 'UnknownName' });
    await host.ledger.release({ ref });
    const again = await host.claim({ holds: ['data/db/two:27017', 'data/db/one:27017'], again: true });
    const elsewhere = { ...move(again), change: { ...moved, member: 'two:27017' } };
    await expect(host.ledger.applyChange(elsewhere)).rejects.toThrow('is not on one');
    expect(host.asked).toEqual([]);
  });

  function service(): string {
    return [...host.states.keys()][0] ?? '';
  }

  function claim(): Promise<Ref> {
    return host.claim({ holds: ['data/db/one:27017'] });
  }

  function unpack(ref: Ref): ChangeRequest {
    return host.change(ref, '0/db@one', { change: unpacked, position: '0/db' });
  }

  function move(ref: Ref): ChangeRequest {
    return host.change(ref, '3/2/db@one', { change: moved, position: '3/2/db' });
  }
});
