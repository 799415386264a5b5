import { afterAll, afterEach, describe, expect, test } from '@jest/globals';
import type { Ref } from '../../model/ledger.ts';
import { openTestHost, type TestHost } from './host.ts';

/**
 * Each pair of those who may bring a host back: one acts, whatever the other one does meanwhile or later. `asked` is
 * every system call, in order: a stop, and its undo (let go, start) once.
 */
describe('of two owners of a host exactly one acts', () => {
  let host: TestHost = openTestHost();
  afterEach(() => {
    host.close();
    host = openTestHost();
  });
  afterAll(() => host.close());

  const once = ['stop', 'let go', 'start'];
  /** up-by 07:30 and 10 min of grace, of the small site. */
  const instant = Date.parse('2026-11-22T07:40:00Z');

  test('the agent alone waits for up-by and grace, then brings back and frees the host', async () => {
    await stopped();
    host.nowMs = instant - 1;
    expect(await host.alone()).toEqual({ kind: 'early', untilMs: 1 });
    expect(host.asked).toEqual(['stop']);
    host.nowMs = instant;
    expect(await host.alone()).toEqual({ kind: 'back' });
    expect(await host.alone()).toEqual({ kind: 'free' });
    expect(host.asked).toEqual(once);
  });

  test('the agent alone goes by the extension that is on its disk, also after a restart, and never beyond longest-down', async () => {
    const ref = await stopped();
    await host.ledger.extend({ ref, upBy: '2026-11-22T19:50:00.000Z', by: 'alice', why: 'a long copy' });
    host = host.restart();
    host.nowMs = instant;
    expect(await host.alone()).toMatchObject({ kind: 'early' });
    host.nowMs = Date.parse('2026-11-22T20:00:00Z'); // 24 h after the claim
    expect(await host.alone()).toEqual({ kind: 'back' });
  });

  test('the agent alone waits for no up-by that lies beyond longest-down', async () => {
    await host.claim({ upBy: '2026-11-25T07:30:00.000Z' });
    host.nowMs = Date.parse('2026-11-22T20:00:00Z') - 1;
    expect(await host.alone()).toEqual({ kind: 'early', untilMs: 1 });
    host.nowMs += 1;
    expect(await host.alone()).toEqual({ kind: 'back' });
  });

  test('agent alone, and a late attempt of the run: nothing is stopped any more', async () => {
    const ref = await stopped();
    host.nowMs = instant;
    const next = host.change(ref, '2/0');
    await expect(host.ledger.applyChange(next)).rejects.toMatchObject({ type: 'Late' });
    await host.alone();
    await expect(host.ledger.applyChange(next)).rejects.toMatchObject({ type: 'Fenced' });
    expect(host.asked).toEqual(once);
  });

  test('agent alone, and a stop of the run that is still in flight: it is ended first, and undone once', async () => {
    const ref = await host.claim();
    host.duringStop = (signal) =>
      new Promise((_resolve, reject) =>
        signal.addEventListener('abort', () => {
          for (const name of host.states.keys()) host.states.set(name, 'stopped');
          reject(signal.reason as Error);
        }),
      );
    const stopping = host.ledger.applyChange(host.change(ref, '1/0'));
    stopping.catch(() => undefined);
    await until(() => host.asked.length > 0);
    host.nowMs = instant;
    expect(await host.alone()).toEqual({ kind: 'back' });
    await expect(stopping).rejects.toThrow('past up-by');
    await expect(host.ledger.applyChange(host.change(ref, '1/0'))).rejects.toMatchObject({ type: 'Fenced' });
    expect(host.asked).toEqual(once);
  });

  test('agent alone, and the run in the middle of bringing back: one start, that both wait for', async () => {
    const ref = await stopped();
    let ready: () => void = () => undefined;
    host.duringStart = () => new Promise((resolve) => (ready = resolve));
    const undoing = host.ledger.undoChange({ ref, id: '1/0' });
    await until(() => host.asked.includes('start'));
    host.nowMs = instant;
    const alone = host.alone();
    ready();
    expect(await alone).toEqual({ kind: 'back' });
    await expect(undoing).resolves.toMatchObject({ did: 'started' });
    expect(host.asked).toEqual(once);
  });

  test('agent alone, and the run that comes back later: it is refused, and finds the host free', async () => {
    const ref = await stopped();
    host.nowMs = instant;
    await host.alone();
    await expect(takeOver(ref, 'run r1', ref.epoch)).rejects.toMatchObject({ type: 'Fenced' });
    await expect(host.ledger.undoChange({ ref, id: '1/0' })).rejects.toMatchObject({ type: 'Fenced' });
    await expect(host.ledger.readLedger({ site: ref.site, host: ref.host })).resolves.toMatchObject({
      held: null,
    });
    expect(host.asked).toEqual(once);
  });

  test('agent alone, and a reset run that comes too late: it can neither adopt nor begin again', async () => {
    await stopped();
    host.nowMs = instant;
    await expect(host.claim({ runId: 'r2' })).rejects.toMatchObject({ type: 'Late' });
    await host.alone();
    await expect(host.claim({ runId: 'r2' })).rejects.toMatchObject({ type: 'AlreadyRan' });
    expect(host.asked).toEqual(once);
  });

  test('a reset run, and a late attempt of the run before it: only the new one acts, on what the first one found', async () => {
    const ref = await stopped();
    const adopted = await host.claim({ runId: 'r2' });
    await expect(host.ledger.applyChange(host.change(ref, '2/0'))).rejects.toMatchObject({ type: 'Fenced' });
    await expect(host.ledger.undoChange({ ref, id: '1/0' })).rejects.toMatchObject({ type: 'Fenced' });
    await host.ledger.undoChange({ ref: adopted, id: '1/0' });
    await host.ledger.release({ ref: adopted });
    host.nowMs = instant;
    expect(await host.alone()).toEqual({ kind: 'free' });
    expect(host.asked).toEqual(once);
  });

  test('watchdog and agent alone at the same moment: the agent leaves it to the watchdog while that gives signs', async () => {
    const ref = await stopped();
    host.nowMs = instant;
    const { epoch } = await takeOver(ref, 'watchdog', ref.epoch);
    expect(await host.alone()).toEqual({ kind: 'left', to: 'watchdog' });
    await host.ledger.undoChange({ ref: { ...ref, epoch }, id: '1/0' });
    expect(await host.alone()).toEqual({ kind: 'left', to: 'watchdog' });
    await host.ledger.release({ ref: { ...ref, epoch } });
    expect(await host.alone()).toEqual({ kind: 'free' });
    expect(host.asked).toEqual(once);
  });

  test('a watchdog that took over and died: the agent alone goes on after it, and refuses it when it wakes', async () => {
    const ref = await stopped();
    host.nowMs = instant;
    const { epoch } = await takeOver(ref, 'watchdog', ref.epoch);
    host.nowMs += 5 * 60_000;
    expect(await host.alone()).toEqual({ kind: 'back' });
    await expect(host.ledger.undoChange({ ref: { ...ref, epoch }, id: '1/0' })).rejects.toMatchObject({
      type: 'Fenced',
    });
    expect(host.asked).toEqual(once);
  });

  test('a watchdog that takes over from the agent alone in the middle: one start, and the agent leaves the rest', async () => {
    const ref = await stopped();
    host.nowMs = instant;
    let ready: () => void = () => undefined;
    host.duringStart = () => new Promise((resolve) => (ready = resolve));
    const alone = host.alone();
    await until(() => host.asked.includes('start'));
    const { epoch, entries } = await takeOver(ref, 'watchdog', null);
    expect(entries).toMatchObject([{ id: '1/0' }]);
    const undoing = host.ledger.undoChange({ ref: { ...ref, epoch }, id: '1/0' });
    ready();
    await undoing;
    await expect(alone).rejects.toMatchObject({ type: 'Fenced' });
    await host.ledger.release({ ref: { ...ref, epoch } });
    expect(host.asked).toEqual(once);
  });

  test('an agent that was killed while it brought back alone, and its successor: the undo is done again from the journal', async () => {
    await stopped();
    host.nowMs = instant;
    host.duringStart = () => new Promise(() => undefined);
    void host.alone();
    await until(() => host.asked.includes('start'));
    const next = host.restart();
    expect(await next.alone()).toEqual({ kind: 'back' });
    expect(next.asked).toEqual(['let go', 'start']);
    host = next;
  });

  test('an agent that lost its journal to another process changes nothing any more', async () => {
    const ref = await stopped();
    const next = host.restart();
    await expect(host.ledger.undoChange({ ref, id: '1/0' })).rejects.toMatchObject({ type: 'Fenced' });
    await expect(host.ledger.applyChange(host.change(ref, '2/0'))).rejects.toMatchObject({ type: 'Fenced' });
    host.nowMs = instant;
    expect(await host.alone()).toEqual({ kind: 'free' });
    expect(host.asked).toEqual(['stop']);
    host = next;
  });

  test('the agent alone keeps what it could not bring back, and tries again', async () => {
    await stopped();
    host.nowMs = instant;
    host.duringStart = () => Promise.reject(new Error('exit code 7'));
    expect(await host.alone()).toEqual({ kind: 'not-back', count: 1 });
    host.duringStart = async () => undefined;
    expect(await host.alone()).toEqual({ kind: 'back' });
    expect(await host.alone()).toEqual({ kind: 'free' });
  });

  test('a host that was claimed and never changed is freed, and may run that night', async () => {
    await host.claim();
    host.nowMs = instant;
    expect(await host.alone()).toEqual({ kind: 'back' });
    expect(host.asked).toEqual([]);
    await expect(host.claim({ workflowId: 'w2' })).resolves.toBeDefined();
  });

  /** Claimed by run r1, its one service stopped. */
  async function stopped(): Promise<Ref> {
    const ref = await host.claim();
    await host.ledger.applyChange(host.change(ref, '1/0'));
    return ref;
  }

  function takeOver(ref: Ref, by: string, epoch: number | null) {
    const { site, host: name, journal } = ref;
    return host.ledger.takeOver({ site, host: name, journal, by, why: 'test', epoch });
  }
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}
