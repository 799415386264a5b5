import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from '@jest/globals';
import { openTestHost, type TestHost } from './host.ts';

describe('the ledger of a host', () => {
  let host: TestHost = openTestHost();
  afterEach(() => {
    host.close();
    host = openTestHost();
  });
  afterAll(() => host.close());

  test('writes the intent to the disk before the system call, and its end after it', async () => {
    const ref = await host.claim();
    const seen: string[] = [];
    host.duringStop = async () => void seen.push(readFileSync(join(host.folder, 'journal.jsonl'), 'utf8'));
    await host.ledger.applyChange(host.change(ref, '1/0'));
    expect(seen[0]).toContain('"r":"intent"');
    expect(seen[0]).not.toContain('"r":"end"');
    expect(readFileSync(join(host.folder, 'journal.jsonl'), 'utf8')).toContain('"r":"end"');
  });

  test('gives a retry the recorded result and makes no change twice, also after a restart of the agent', async () => {
    const ref = await host.claim();
    const first = await host.ledger.applyChange(host.change(ref, '1/0'));
    const again = await host.ledger.applyChange(host.change(ref, '1/0'));
    const next = host.restart();
    const after = await next.ledger.applyChange(next.change(ref, '1/0'));
    expect([again, after]).toEqual([first, first]);
    expect([host.asked, next.asked]).toEqual([['stop'], []]);
    host = next;
  });

  test('lets a second attempt attach to the change in flight', async () => {
    const ref = await host.claim();
    let finish: () => void = () => undefined;
    host.duringStop = () => new Promise((resolve) => (finish = resolve));
    const both = [
      host.ledger.applyChange(host.change(ref, '1/0')),
      host.ledger.applyChange(host.change(ref, '1/0')),
    ];
    await until(() => host.asked.length > 0);
    finish();
    const [one, two] = await Promise.all(both);
    expect(one).toEqual(two);
    expect(host.asked).toEqual(['stop']);
  });

  test('refuses a change whose time has passed, as a suspended agent would bring it', async () => {
    const ref = await host.claim();
    const late = host.change(ref, '1/0');
    host.nowMs += 3_600_000;
    await expect(host.ledger.applyChange(late)).rejects.toMatchObject({ type: 'Late' });
    expect(host.asked).toEqual([]);
  });

  test('refuses whoever is not the owner any more', async () => {
    const ref = await host.claim();
    await host.ledger.takeOver({ ...owner(ref), by: 'watchdog', why: 'test', epoch: null });
    await expect(host.ledger.applyChange(host.change(ref, '1/0'))).rejects.toMatchObject({ type: 'Fenced' });
    await expect(host.ledger.undoChange({ ref, id: '1/0' })).rejects.toMatchObject({ type: 'Fenced' });
    await expect(
      host.ledger.takeOver({ ...owner(ref), by: 'run r1', why: 'test', epoch: ref.epoch }),
    ).rejects.toMatchObject({ type: 'Fenced' });
    expect(host.asked).toEqual([]);
  });

  test('lets the same owner take over again when its answer was lost', async () => {
    const ref = await host.claim();
    await host.ledger.takeOver({ ...owner(ref), by: 'run r1', why: 'test', epoch: ref.epoch });
    const second = await host.ledger.takeOver({ ...owner(ref), by: 'run r1', why: 'test', epoch: ref.epoch });
    expect(second.epoch).toBe(ref.epoch + 2);
  });

  test('gives a member whose process did not end well no copy, at once and when asked again, and starts it again', async () => {
    const ref = await host.claim();
    const guard = {
      kind: 'mongodb-member',
      database: 'orders',
      member: 'db:27017',
      role: 'primary',
    } as const;
    const [service = ''] = host.states.keys();
    const stop = host.change(ref, '1/0', { change: { kind: 'service-stopped', service, guard } });
    host.stopped = { ...host.stopped, exitStatus: 137 };
    const refused = { type: 'NotAtRest', nonRetryable: true };
    await expect(host.ledger.applyChange(stop)).rejects.toMatchObject({
      ...refused,
      message: expect.stringMatching(
        /^db:27017 of orders .* ended with status 137 \(signal 9\).*stop-within/,
      ),
    });
    await expect(host.ledger.applyChange(stop)).rejects.toMatchObject(refused);
    expect(host.asked).toEqual(['stop']);
    await host.ledger.undoChange({ ref, id: '1/0' });
    expect(host.states.get(service)).toBe('running');
  });

  test.each([
    ['of a member where nobody can tell how it ended', true, null],
    ['of a service that is no member, however it ended', false, 143],
  ])('takes the stop %s', async (_, isMember, exitStatus) => {
    const ref = await host.claim();
    const guard = {
      kind: 'mongodb-member',
      database: 'orders',
      member: 'db:27017',
      role: 'primary',
    } as const;
    const [service = ''] = host.states.keys();
    host.stopped = { ...host.stopped, exitStatus };
    const change = { kind: 'service-stopped', service, ...(isMember && { guard }) } as const;
    expect(await host.ledger.applyChange(host.change(ref, '1/0', { change }))).toMatchObject({
      outcome: 'done',
    });
  });

  test('takes no change in a sealed scope, and gives what is open in it', async () => {
    const ref = await host.claim();
    await host.ledger.applyChange(host.change(ref, '1/0'));
    const open = await host.ledger.sealScope({ ref, scope: '1' });
    expect(open.map(({ id }) => id)).toEqual(['1/0']);
    await expect(host.ledger.applyChange(host.change(ref, '1/1'))).rejects.toMatchObject({ type: 'Closed' });
  });

  test('waits for a stop in flight at a takeover, and undoes it after it was waited out', async () => {
    const ref = await host.claim();
    host.duringStop = (signal) =>
      new Promise((_resolve, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason as Error)),
      );
    const stopping = host.ledger.applyChange(host.change(ref, '1/0'));
    stopping.catch(() => undefined);
    await until(() => host.asked.length > 0);
    const { epoch, entries } = await host.ledger.takeOver({
      ...owner(ref),
      by: 'recover',
      why: 'test',
      epoch: null,
    });
    await expect(stopping).rejects.toThrow();
    expect(entries).toMatchObject([{ id: '1/0', endedAt: null }]);
    host.states.set([...host.states.keys()][0] ?? '', 'stopped'); // the stop ends later, by itself
    const { did } = await host.ledger.undoChange({ ref: { ...ref, epoch }, id: '1/0' });
    expect([did, host.asked]).toEqual(['started', ['stop', 'let go', 'start']]);
  });

  test('leaves stopped what was found stopped', async () => {
    for (const name of host.states.keys()) host.states.set(name, 'stopped');
    const ref = await host.claim();
    await host.ledger.applyChange(host.change(ref, '1/0'));
    const { did } = await host.ledger.undoChange({ ref, id: '1/0' });
    expect(did).toContain('left stopped');
    expect(host.asked).not.toContain('start');
  });

  test('keeps what was found first: a second run of the workflow adopts it and observes nothing', async () => {
    const ref = await host.claim();
    await host.ledger.applyChange(host.change(ref, '1/0'));
    const next = host.restart();
    const adopted = await next.claim({ runId: 'r2' });
    expect(adopted).toMatchObject({ journal: ref.journal, epoch: ref.epoch + 1 });
    await next.ledger.undoChange({ ref: adopted, id: '1/0' });
    expect(next.asked).toEqual(['let go', 'start']);
    host = next;
  });

  test('is held by one run: another one is refused before anything is changed, and told what to do', async () => {
    await host.claim();
    await expect(host.claim({ workflowId: 'w2' })).rejects.toThrow(/held by nightly.*recover --host/);
  });

  test('lets one of two claims at once through', async () => {
    const claims = await Promise.allSettled([host.claim(), host.claim({ workflowId: 'w2' })]);
    expect(claims.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  });

  test('runs a night once, unless it is asked to run it again', async () => {
    const ref = await host.claim();
    await host.ledger.applyChange(host.change(ref, '1/0'));
    await host.ledger.undoChange({ ref, id: '1/0' });
    await host.ledger.release({ ref });
    await expect(host.claim({ workflowId: 'w2' })).rejects.toMatchObject({ type: 'AlreadyRan' });
    const again = await host.claim({ workflowId: 'w2', again: true });
    expect(again.epoch).toBeGreaterThan(ref.epoch);
  });

  test('is free for the same night when the run had changed nothing', async () => {
    await host.ledger.release({ ref: await host.claim() });
    await expect(host.claim({ workflowId: 'w2' })).resolves.toBeDefined();
  });

  test('remembers the longest stop of the last five nights', async () => {
    const [service = ''] = host.states.keys();
    const seen: unknown[] = [];
    for (const [night, tookMs] of [900, 20, 30, 10, 40, 15].entries()) {
      const ref = await host.claim({
        workflowId: `w${night}`,
        runId: `r${night}`,
        night: `2026-11-2${night}`,
      });
      host.stopped = { ...host.stopped, tookMs };
      await host.ledger.applyChange(host.change(ref, '1/0'));
      await host.ledger.undoChange({ ref, id: '1/0' });
      await host.ledger.release({ ref });
      seen.push(host.journal.stoppedMs()[service]);
    }
    expect(seen).toEqual([900, 900, 900, 900, 900, 40]);
    host = host.restart();
    expect(host.journal.stoppedMs()).toEqual({ [service]: 40 });
  });

  test('does not close a journal with open changes', async () => {
    const ref = await host.claim();
    await host.ledger.applyChange(host.change(ref, '1/0'));
    await expect(host.ledger.release({ ref })).rejects.toMatchObject({ type: 'NotEmpty' });
  });

  test('refuses another site file, another protocol and a service that it does not hold', async () => {
    await expect(host.claim({ siteDigest: 'other' })).rejects.toMatchObject({ type: 'DigestDiffers' });
    await expect(host.claim({ protocol: 2 })).rejects.toMatchObject({ type: 'ProtocolDiffers' });
    const ref = await host.claim({ holds: [] });
    await expect(host.ledger.applyChange(host.change(ref, '1/0'))).rejects.toMatchObject({
      type: 'UnknownName',
    });
  });

  test('attests only what was held stopped by this epoch and never started since', async () => {
    const ref = await host.claim();
    const [name = ''] = host.states.keys();
    await expect(host.ledger.attest({ ref, services: [name] })).rejects.toMatchObject({ type: 'NotAtRest' });
    await host.ledger.applyChange(host.change(ref, '1/0'));
    await expect(host.ledger.attest({ ref, services: [name] })).resolves.toBeUndefined();
    host.states.set(name, 'running');
    await expect(host.ledger.attest({ ref, services: [name] })).rejects.toMatchObject({ type: 'NotAtRest' });
  });

  test('lets its holder extend up-by, on the disk before it answers, and never makes it earlier', async () => {
    const ref = await host.claim();
    const extend = (clock: string) =>
      host.ledger.extend({ ref, upBy: `2026-11-22T${clock}:00.000Z`, by: 'alice', why: 'a long copy' });
    const later = { upBy: '2026-11-22T09:00:00.000Z' };
    await expect(extend('09:00')).resolves.toEqual(later);
    expect(readFileSync(join(host.folder, 'journal.jsonl'), 'utf8')).toContain(
      '"r":"extend","upBy":"2026-11-22T09:00:00.000Z","by":"alice","why":"a long copy"',
    );
    await expect(extend('09:00')).resolves.toEqual(later);
    await expect(extend('08:00')).resolves.toEqual(later);
    const next = host.restart();
    await expect(next.ledger.readLedger({ site: ref.site, host: ref.host })).resolves.toMatchObject({
      held: later,
    });
    expect(readFileSync(join(next.folder, 'journal.jsonl'), 'utf8').split('"extend"')).toHaveLength(2);
    host = next;
  });

  test('extends for nobody beyond longest-down, says the latest possible, and extends for no former holder', async () => {
    const ref = await host.claim(); // at 20:00: 24 h less 10 min of grace
    const wanted = { ref, by: 'alice', why: 'a long copy' };
    await expect(host.ledger.extend({ ...wanted, upBy: '2026-11-22T19:50:00.001Z' })).rejects.toMatchObject({
      type: 'TooLate',
      message: expect.stringContaining('the latest possible is 2026-11-22T19:50:00.000Z') as unknown,
    });
    await expect(host.ledger.extend({ ...wanted, upBy: '2026-11-22T19:50:00.000Z' })).resolves.toBeDefined();
    await host.ledger.takeOver({ ...owner(ref), by: 'watchdog', why: 'test', epoch: null });
    await expect(host.ledger.extend({ ...wanted, upBy: '2026-11-22T19:51:00.000Z' })).rejects.toMatchObject({
      type: 'Fenced',
    });
  });

  test('drops a last line that was never finished: what it announced was not done', async () => {
    const ref = await host.claim();
    appendFileSync(join(host.folder, 'journal.jsonl'), '{"r":"intent","id":"1/0","posi');
    const next = host.restart();
    expect((await next.ledger.sealScope({ ref, scope: '' })).length).toBe(0);
    host = next;
  });

  test('refuses to work from a damaged journal, with its place', async () => {
    await host.claim();
    appendFileSync(join(host.folder, 'journal.jsonl'), 'rubbish\n');
    expect(() => host.restart()).toThrow(/journal\.jsonl:2 is damaged/);
  });
});

describe('a job of a host', () => {
  let host: TestHost = openTestHost();
  afterEach(() => {
    host.close();
    host = openTestHost();
  });
  afterAll(() => host.close());
  const never = new AbortController().signal;

  test('runs once an id: an attempt attaches, a later one gets the recorded result', async () => {
    await host.claim();
    let starts = 0;
    const work = async () => {
      starts += 1;
      return artifact;
    };
    const both = await Promise.all([
      host.jobs.run('c', '5/copy', work, never),
      host.jobs.run('c', '5/copy', work, never),
    ]);
    host = host.restart();
    const later = await host.jobs.run('c', '5/copy', work, never);
    expect([...both, later]).toEqual([artifact, artifact, artifact]);
    expect(starts).toBe(1);
  });

  test('is ended by the seal of its scope, and what it wrote does not count', async () => {
    const ref = await host.claim();
    const job = host.jobs.run(
      'c',
      '5/copy',
      ({ signal }) =>
        new Promise<never>((_r, reject) =>
          signal.addEventListener('abort', () => reject(signal.reason as Error)),
        ),
      never,
    );
    job.catch(() => undefined);
    await host.ledger.sealScope({ ref, scope: '5' });
    await expect(job).rejects.toThrow('its step is over');
    expect(host.journal.state().jobs.get('c')).toMatchObject({ ended: true, artifact: null });
    await expect(host.jobs.run('c', '5/copy', async () => artifact, never)).rejects.toMatchObject({
      type: 'Closed',
    });
  });
});

const artifact = {
  ...{ name: 'a', store: 's', host: 'h', database: 'd', sizeBytes: 1, sha256: '', contentBytes: 1, files: 1 },
  fileList: { name: 'a.files', sha256: '', sizeBytes: 0 },
  ...{ startedAt: '2026-11-21T20:00:00.000Z', endedAt: '2026-11-21T20:00:00.000Z', leftOut: [] },
};

function owner(ref: { site: string; host: string; journal: string }) {
  return { site: ref.site, host: ref.host, journal: ref.journal };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}
