import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ApplicationFailure } from '@temporalio/common';
import { DEFAULT_LIMITS } from '../../config/schema/limits.ts';
import { createWaitActivities } from '../../activities/waits/activities.ts';
import { observeJob } from '../../activities/waits/observe-job.ts';
import { readCount, valueAt } from '../../activities/waits/read-count.ts';
import type { WaitActivities } from '../../model/activities.ts';
import type { Site } from '../../model/site.ts';
import { startUserManager } from '../support/systemd.ts';
import type { UserManager } from '../support/systemd.ts';

const folder = mkdtempSync(join(tmpdir(), 'coldbackup-waits-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const inOneMinute = (): string => new Date(Date.now() + 60_000).toISOString();
const longAgo = '2020-01-01T00:00:00.000Z';
const startOfRun = '2026-11-21T00:00:00.000Z';

function script(name: string, text: string): readonly [string] {
  const file = join(folder, name);
  writeFileSync(file, `#!/bin/sh\n${text}\n`);
  chmodSync(file, 0o755);
  return [file];
}

function printing(text: string): readonly [string, string, string] {
  return ['printf', '%s', text];
}

interface Waits extends WaitActivities {
  readonly seen: { readonly last: string }[];
  readonly abort: AbortController;
}

function waits(parts: Partial<Site>, host = 'app-1'): Waits {
  const site: Site = {
    site: 'vitam',
    timezone: 'Europe/Paris',
    hosts: ['app-1', 'app-2'],
    services: {},
    jobs: {},
    counts: {},
    databases: {},
    stores: {},
    procedures: {},
    limits: DEFAULT_LIMITS,
    ...parts,
  };
  const seen: { last: string }[] = [];
  const abort = new AbortController();
  const heartbeat = (details: unknown): unknown => seen.push(details as { last: string });
  return { seen, abort, ...createWaitActivities({ site, host, heartbeat, signal: () => abort.signal }) };
}

function commandJob(...status: [string, ...string[]]): Partial<Site> {
  return { jobs: { securing: { host: 'app-1', source: { kind: 'command', status } } } };
}

function commandCount(...command: [string, ...string[]]): Partial<Site> {
  return { counts: { workflows: { host: 'app-1', source: { kind: 'command', command } } } };
}

const jobInput = (until: string) => ({ site: 'vitam', job: 'securing', beganAfter: startOfRun, until });
const countInput = (until: string) => ({ site: 'vitam', count: 'workflows', reaches: 0, until });

describe('waiting for a count', () => {
  test('ends at once when it is reached, and every value is shown', async () => {
    const left = join(folder, 'left');
    writeFileSync(left, '2');
    const counting = waits(
      commandCount(...script('count', `n=$(cat ${left}); echo $n; echo $((n-1)) > ${left}`)),
    );
    expect(await counting.waitForCount(countInput(inOneMinute()))).toEqual({ outcome: 'reached', last: '0' });
    expect(counting.seen).toEqual([{ last: '2' }, { last: '1' }, { last: '0' }]);
  });

  test('is out of time at `until`, with the last value', async () => {
    const until = new Date(Date.now() + 1_500).toISOString();
    expect(await waits(commandCount('echo', '3')).waitForCount(countInput(until))).toEqual({
      outcome: 'out-of-time',
      last: '3',
    });
  });

  test('past `until` it still asks once: a late agent does not give up what was reached', async () => {
    expect(await waits(commandCount('echo', '0')).waitForCount(countInput(longAgo))).toEqual({
      outcome: 'reached',
      last: '0',
    });
  });

  test('a source that fails for a while is shown and asked again', async () => {
    const flag = join(folder, 'up');
    const failing = script(
      'flaky',
      `[ -e ${flag} ] || { touch ${flag}; echo connection lost >&2; exit 1; }; echo 0`,
    );
    const counting = waits(commandCount(...failing));
    expect((await counting.waitForCount(countInput(inOneMinute()))).outcome).toBe('reached');
    expect(counting.seen[0]?.last).toMatch(/exit code 1; it said: connection lost \(on app-1\)/);
  });

  test('a cancel ends the wait with its reason', async () => {
    const counting = waits(commandCount('echo', '3'));
    const reason = new Error('the operator said so');
    setTimeout(() => counting.abort.abort(reason), 100);
    await expect(counting.waitForCount(countInput(inOneMinute()))).rejects.toBe(reason);
  });

  test('a name that this host does not have is refused for good, with those it has', async () => {
    const known = commandCount('echo', '0');
    const error = await failureOf(
      waits(known).waitForCount({ ...countInput(inOneMinute()), count: 'toString' }),
    );
    expect(error).toMatchObject({ nonRetryable: true, type: 'UnknownName' });
    expect(error.message).toBe(
      'The site file on app-1 names no count toString for this host; it names workflows. Bring the same site file to all hosts.',
    );
    const elsewhere = await failureOf(waits(known, 'app-2').waitForCount(countInput(inOneMinute())));
    expect(elsewhere.message).toContain('on app-2 names no count workflows');
    const other = await failureOf(waits(known).waitForCount({ ...countInput(inOneMinute()), site: 'other' }));
    expect(other.message).toContain('belongs to the site vitam, not other');
  });
});

describe('waiting for a job told by a command', () => {
  test('ends when it began after the instant and ended well', async () => {
    const answer = join(folder, 'answer');
    writeFileSync(answer, '{"began":"2026-11-20T23:00:00Z","ended":"2026-11-20T23:05:00Z","ok":false}');
    const waiting = waits(commandJob('cat', answer));
    const result = waiting.waitForJob(jobInput(inOneMinute()));
    await heard(waiting, /^not begun since .*last began 2026-11-20T23:00:00.000Z/);
    writeFileSync(answer, '{"began":"2026-11-21T01:00:00+01:00","ended":null,"ok":null}');
    await heard(waiting, /^running since 2026-11-21T00:00:00.000Z$/);
    writeFileSync(answer, '{"began":"2026-11-21T00:00:00Z","ended":"2026-11-21T00:10:00Z","ok":true}');
    expect(await result).toEqual({
      outcome: 'reached',
      last: 'began 2026-11-21T00:00:00.000Z, ended well 2026-11-21T00:10:00.000Z',
    });
  });

  test('one that ended badly ends the wait at once and for good', async () => {
    const bad = '{"began":"2026-11-21T00:00:00Z","ended":"2026-11-21T00:10:00Z","ok":false}';
    const error = await failureOf(waits(commandJob(...printing(bad))).waitForJob(jobInput(inOneMinute())));
    expect(error).toMatchObject({ nonRetryable: true, type: 'JobFailed' });
    expect(error.message).toMatch(
      /^The job securing on app-1 ended badly: began .*ended badly.*retry the step/,
    );
  });

  test('an answer of another form is named, and is out of time in the end', async () => {
    const waiting = waits(commandJob(...printing('{"began":"yesterday"}')));
    const { outcome, last } = await waiting.waitForJob(jobInput(longAgo));
    expect(outcome).toBe('out-of-time');
    expect(last).toContain('must print one JSON object');
    expect(last).toContain('began Invalid ISO datetime');
    await expect(observeJob({ source: { kind: 'command', status: ['echo', 'no json'] } })).rejects.toThrow(
      /and printed "no json\\n"/,
    );
  });
});

describe('waiting for a job that is a unit of systemd', () => {
  let manager: UserManager;
  beforeAll(async () => {
    manager = await startUserManager();
  });
  afterAll(() => manager.stop());

  async function unitJob(name: string, program: string, extra = ''): Promise<Waits> {
    manager.writeUnit(name, `[Service]\nType=oneshot\nExecStart=/bin/sh -c "${program}"\n${extra}`);
    await manager.reload();
    const site = {
      jobs: { securing: { host: 'app-1', source: { kind: 'systemd', unit: name, manager: 'user' } } },
    } as const;
    const base = waits(site);
    return {
      ...base,
      ...createWaitActivities({
        site: { ...emptySite, ...site },
        host: 'app-1',
        heartbeat: (details) => base.seen.push(details as { last: string }),
        signal: () => base.abort.signal,
        ...manager.options,
      }),
    };
  }

  const emptySite: Site = {
    site: 'vitam',
    timezone: 'Europe/Paris',
    hosts: ['app-1'],
    services: {},
    jobs: {},
    counts: {},
    databases: {},
    stores: {},
    procedures: {},
    limits: DEFAULT_LIMITS,
  };
  const input = (beganAfter = startOfRun): ReturnType<typeof jobInput> => ({
    ...jobInput(inOneMinute()),
    beganAfter,
  });

  test('ends when the unit has run and ended well, with its timestamps', async () => {
    const go = join(folder, 'go');
    manager.writeUnit('good.timer', '[Timer]\nOnActiveSec=1h\n');
    const waiting = await unitJob('good.service', `while [ ! -e ${go} ]; do sleep 0.05; done`);
    await manager.systemctl('start', 'good.timer');
    const result = waiting.waitForJob(input());
    await heard(waiting, /^not begun since .*never ran/);
    await manager.systemctl('start', '--no-block', 'good.service');
    await heard(waiting, /^running since 20\d\d-/);
    writeFileSync(go, '');
    expect(await result).toMatchObject({
      outcome: 'reached',
      last: expect.stringMatching(/^began 20.*Z, ended well 20.*Z$/),
    });
    const observed = await observeJob(
      { source: { kind: 'systemd', unit: 'good.service', manager: 'user' } },
      manager.options,
    );
    expect(observed).toMatchObject({ ok: true, detail: 'inactive (dead)' });
    expect(Math.abs(Date.parse(observed.ended ?? '') - Date.now())).toBeLessThan(20_000);
    // A run before the instant does not count.
    const later = await waiting.waitForJob({ ...input('2099-01-01T00:00:00.000Z'), until: longAgo });
    expect(later.outcome).toBe('out-of-time');
  });

  test('a unit that failed ends the wait at once with its exit status', async () => {
    const waiting = await unitJob('bad.service', 'exit 3');
    await manager.systemctl('start', 'bad.service');
    const error = await failureOf(waiting.waitForJob(input()));
    expect(error.message).toMatch(/failed \(failed, result exit-code, exit status 3\)/);
  });

  test('a unit that systemd forgets once it has ended well was seen while it ran', async () => {
    const go = join(folder, 'forget');
    const waiting = await unitJob('forgotten.service', `while [ ! -e ${go} ]; do sleep 0.05; done`);
    const result = waiting.waitForJob(input());
    await manager.systemctl('start', '--no-block', 'forgotten.service');
    await heard(waiting, /^running since/);
    writeFileSync(go, '');
    expect((await result).outcome).toBe('reached');
  });

  test('a unit with RemainAfterExit has ended although it is active', async () => {
    const waiting = await unitJob('remains.service', 'true', 'RemainAfterExit=yes\n');
    await manager.systemctl('start', 'remains.service');
    expect((await waiting.waitForJob(input())).outcome).toBe('reached');
  });

  test('a unit that does not exist is named', async () => {
    await expect(
      observeJob({ source: { kind: 'systemd', unit: 'no-such.service', manager: 'user' } }, manager.options),
    ).rejects.toThrow('The unit no-such.service is not-found on this host.');
  });
});

describe('reading a count', () => {
  const server = createServer((request, response) => {
    if (request.url === '/broken') response.writeHead(500).end('database is away');
    else
      response.end(
        request.url === '/text' ? 'hello' : '{"a/b":{"m~n":[{"count":14}]},"half":0.5,"text":"3"}',
      );
  });
  let base = '';
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    server.close();
  });
  const http = (path: string, pointer: string) =>
    readCount({ source: { kind: 'http', url: base + path, pointer } });

  test('follows a JSON pointer with its escapes', async () => {
    expect(await http('/', '/a~1b/m~0n/0/count')).toBe(14);
  });

  test('knows the examples of RFC 6901', () => {
    const document = { foo: ['bar', 'baz'], '': 0, 'a/b': 1, 'm~n': 8, ' ': 7 };
    expect(valueAt(document, '')).toBe(document);
    expect(valueAt(document, '/foo/0')).toBe('bar');
    expect(valueAt(document, '/')).toBe(0);
    expect(valueAt(document, '/a~1b')).toBe(1);
    expect(valueAt(document, '/m~0n')).toBe(8);
    expect(valueAt(document, '/ ')).toBe(7);
    expect(valueAt(document, '/foo/01')).toBeUndefined();
    expect(valueAt(document, '/constructor')).toBeUndefined();
  });

  test('says what is wrong with an answer', async () => {
    await expect(http('/', '/none')).rejects.toThrow('"/none" must be an integer, and is not there');
    await expect(http('/', '/text')).rejects.toThrow('"/text" must be an integer, and is "3"');
    await expect(http('/', '/half')).rejects.toThrow('"/half" must be an integer, and is 0.5');
    await expect(http('/broken', '')).rejects.toThrow('/broken answers 500: database is away');
    await expect(http('/text', '')).rejects.toThrow(/\/text: Unexpected token/);
    await expect(
      readCount({ source: { kind: 'http', url: 'http://127.0.0.1:1/x', pointer: '' } }),
    ).rejects.toThrow(/GET http:\/\/127.0.0.1:1\/x: /);
    await expect(
      readCount({ source: { kind: 'command', command: ['echo', '3 workflows'] } }),
    ).rejects.toThrow('["echo","3 workflows"] must print one integer, and printed "3 workflows"');
  });
});

async function heard(waiting: Waits, pattern: RegExp): Promise<void> {
  while (!waiting.seen.some(({ last }) => pattern.test(last))) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function failureOf(promise: Promise<unknown>): Promise<ApplicationFailure> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof ApplicationFailure) return error;
    throw error;
  }
  throw new Error('it did not fail');
}
