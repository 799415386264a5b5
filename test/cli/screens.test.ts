import { describe, expect, test } from '@jest/globals';
import { hostsScreen } from '../../cli/screens/hosts.ts';
import { ledgerScreen } from '../../cli/screens/ledger.ts';
import { planScreen } from '../../cli/screens/plan.ts';
import { reportScreen } from '../../cli/screens/report.ts';
import { runsScreen } from '../../cli/screens/runs.ts';
import { setScreen, setsScreen, verificationScreen } from '../../cli/screens/sets.ts';
import { exactly, roughly } from '../../cli/screens/text.ts';
import type { Manifest, SetSummary } from '../../model/manifest.ts';
import type { Plan } from '../../model/plan.ts';
import type { Report } from '../../model/progress.ts';

const set = { site: 'vitam', procedure: 'nightly', id: '2026-11-21T190004Z-1a2b3c4d' };
const clock = { timezone: 'Europe/Paris', now: '2026-11-22T02:18:00.000Z' };

const report: Report = {
  site: 'vitam',
  procedure: 'nightly',
  timezone: 'Europe/Paris',
  night: '2026-11-21',
  outcome: 'complete',
  reason: null,
  startedAt: '2026-11-21T19:00:04.000Z',
  endedAt: '2026-11-22T07:04:10.000Z',
  steps: [
    step('1', 'stop ingest-internal', '2026-11-21T19:00:10.000Z', '2026-11-21T19:00:52.000Z'),
    step('2', 'at the same time: processing', '2026-11-21T19:00:52.000Z', '2026-11-21T21:10:52.000Z'),
    step(
      '2/processing/1',
      'wait for active-workflows = 0',
      '2026-11-21T19:00:52.000Z',
      '2026-11-21T19:00:53.500Z',
    ),
  ],
  services: [
    { service: 'ingest-internal', host: 'app-1', downMs: 43_440_000, found: 'running' },
    { service: 'logbook', host: 'app-1', downMs: 0, found: 'stopped' },
  ],
  notBack: [],
  decisions: [],
  sets: [{ set, store: 'vault', sizeBytes: 1_234_567_890 }],
  checks: [],
  warnings: ['app-1: logbook: found stopped'],
};

function step(id: string, label: string, startedAt: string, endedAt: string): Report['steps'][number] {
  return { id, label, outcome: 'done', startedAt, endedAt };
}

describe('the closing table', () => {
  test('has each step and how long, each downtime, the set and its size', () => {
    expect(reportScreen(report, 'UTC')).toBe(
      [
        'vitam/nightly   night 2026-11-21 · 20:00 to 08:04 (12 h 04 min) · complete',
        '',
        'step                                               took         outcome',
        '1                  stop ingest-internal            42 s         done',
        '2                  at the same time: processing    2 h 10 min   done',
        '  2/processing/1   wait for active-workflows = 0   1.5 s        done',
        '',
        'service           host    down          found',
        'ingest-internal   app-1   12 h 04 min   running',
        'logbook           app-1   -             stopped, left stopped',
        '',
        'set                           store   size',
        '2026-11-21T190004Z-1a2b3c4d   vault   1.23 GB',
        '',
        'note   app-1: logbook: found stopped',
      ].join('\n'),
    );
  });

  test('breaks the words of a long step, so that what comes after them is seen beside it', () => {
    const label = `stop ${Array.from({ length: 9 }, (_, i) => `service-number-${i}`).join(', ')}`;
    const steps = [step('1', label, '2026-11-21T19:00:10.000Z', '2026-11-21T19:00:52.000Z')];
    expect(reportScreen({ ...report, steps }, 'UTC')).toContain(
      [
        `step${' '.repeat(76)}took   outcome`,
        '1      stop service-number-0, service-number-1, service-number-2,               42 s   done',
        '       service-number-3, service-number-4, service-number-5,',
        '       service-number-6, service-number-7, service-number-8',
        '',
      ].join('\n'),
    );
  });

  test('says of a no-go which check stood against it, and that nothing was changed', () => {
    const screen = reportScreen(
      {
        ...report,
        ...{
          outcome: 'no-go',
          reason: 'no-go: app-1: agent: no answer',
          services: [],
          sets: [],
          decisions: [],
          warnings: [],
        },
        checks: [
          { host: '-', subject: 'window', verdict: 'go', detail: 'up by 08:30' },
          { host: 'app-1', subject: 'agent', verdict: 'no-go', detail: 'no answer', hint: 'start the agent' },
        ],
      },
      'UTC',
    );

    expect(screen).toBe(
      [
        'vitam/nightly   night 2026-11-21 · 20:00 to 08:04 (12 h 04 min) · no-go',
        'Nothing was changed.',
        'why: no-go: app-1: agent: no answer',
        '',
        'no-go   app-1   agent   no answer',
        '                        → start the agent',
      ].join('\n'),
    );
  });

  test('tells what a step says of times on the clock of the site, and what fingerprints cost', () => {
    const [first] = report.steps;
    if (first === undefined) throw new Error('no step');
    const screen = reportScreen(
      {
        ...report,
        steps: [{ ...first, detail: 'began 2026-11-21T23:00:02.123Z' }],
        fingerprints: [
          { database: 'vitam-mongo', set: 'shard1', member: 'mongo-2:27018', tookMs: 95_000 },
          { database: 'offer', set: 'rs', member: 'mongo-2:27017', copy: true, tookMs: 1_000 },
        ],
      },
      'UTC',
    );
    expect(screen).toContain('42 s   done: began 00:00\n');
    expect(screen).toContain(
      [
        'fingerprint          read on                     took',
        'vitam-mongo shard1   mongo-2:27018               1 min 35 s',
        'offer rs             the copy of mongo-2:27017   1.0 s',
      ].join('\n'),
    );
  });

  test('says what is not back, where, why, and what to do', () => {
    const screen = reportScreen(
      {
        ...report,
        ...{
          outcome: 'not-back',
          reason: 'aborted by ada@ops: wrong night',
          steps: [],
          services: [],
          sets: [],
        },
        notBack: [{ id: '1/0', what: 'stop metadata', host: 'app-2', why: 'not ready within 3 min' }],
        decisions: [],
        warnings: [],
      },
      'UTC',
    );

    expect(screen.split('\n').slice(-3)).toEqual([
      'not back',
      '  stop metadata   app-2   not ready within 3 min',
      'do: on app-2: coldbackup recover --host app-2 --site FILE',
    ]);
    expect(screen).toContain('NOT everything is back.\nwhy: aborted by ada@ops: wrong night');
  });
});

test('the plan has each step with its deadline, and the go/no-go table with the worst last', () => {
  const plan: Plan = {
    protocol: 1,
    site: 'vitam',
    procedure: 'nightly',
    siteDigest: 'd',
    timezone: 'Europe/Paris',
    night: '2026-11-21',
    windowStart: '2026-11-21T19:00:00.000Z',
    restartAt: '2026-11-22T07:00:00.000Z',
    upBy: '2026-11-22T07:30:00.000Z',
    hardLimit: '2026-11-22T09:30:00.000Z',
    steps: [
      { id: '1', label: 'stop a', kind: 'stop', services: [], onFailure: 'fail' },
      {
        id: '2',
        label: 'at the same time: b',
        kind: 'parallel',
        onFailure: 'fail',
        branches: [
          {
            name: 'b',
            steps: [
              {
                id: '2/b/1',
                label: 'wait for c = 0',
                kind: 'wait',
                onFailure: 'fail',
                for: { kind: 'count', count: 'c', host: 'app-1', reaches: 0 },
                until: '2026-11-22T02:00:00.000Z',
                otherwise: 'fail',
              },
            ],
          },
        ],
      },
    ],
    hosts: ['app-1'],
    holds: { 'app-1': ['service/a'] },
    timing: {},
    stores: {},
    keep: null,
    warnings: ['elasticsearch is stopped, but its data is not in the set'],
  };
  const screen = planScreen(plan, [
    { host: 'app-1', subject: 'agent', verdict: 'no-go', detail: 'no answer', hint: 'start it' },
    { host: '-', subject: 'window', verdict: 'go', detail: 'up by 08:30' },
  ]);

  expect(screen).toBe(
    [
      'vitam/nightly   night 2026-11-21 · from 20:00 · restart 08:00 · up by 08:30 (Europe/Paris)',
      '',
      '1         stop a',
      '2         at the same time: b',
      '  2/b/1   wait for c = 0        until 03:00, then fail',
      '',
      'note   elasticsearch is stopped, but its data is not in the set',
      '',
      'go      -       window   up by 08:30',
      'no-go   app-1   agent    no answer',
      '                         → start it',
      '',
      'no-go: 1 of 2 checks. A run would end here, with nothing changed',
    ].join('\n'),
  );
});

test('hosts: who is there, with which file and clock', () => {
  const there = { alive: true, version: '0.1.0', error: null } as const;
  expect(
    hostsScreen([
      { host: 'app-1', ...there, digest: 'same', clockOffMs: 0 },
      { host: 'app-2', ...there, digest: 'differs', clockOffMs: 7_200 },
      {
        host: 'db-1',
        alive: false,
        version: null,
        digest: null,
        clockOffMs: null,
        error: 'no agent took it up',
      },
    ]),
  ).toBe(
    [
      'host    agent       version   site file                clock',
      'app-1   alive       0.1.0     same                     same',
      "app-2   alive       0.1.0     differs from control's   off by 7.2 s",
      'db-1    no answer                                      no agent took it up',
    ].join('\n'),
  );
});

test('ledger: what is down on each host, for whom, and how it was found', () => {
  const { timezone } = clock;
  const entry = {
    host: 'app-1',
    position: '1/0/app-1',
    intentAt: '2026-11-21T19:00:10.000Z',
    endedAt: '2026-11-21T19:00:12.000Z',
  };
  const held = {
    journal: 'j',
    epoch: 3,
    procedure: 'nightly',
    workflowId: 'coldbackup/vitam/nightly',
    night: '2026-11-21',
    upBy: '2026-11-22T07:30:00.000Z',
    entries: [
      {
        ...entry,
        id: '1',
        change: { kind: 'service-stopped', service: 'ingest-internal' },
        found: { kind: 'service', state: 'running' },
      },
      {
        ...entry,
        ...{ id: '2', endedAt: null },
        change: { kind: 'balancer-stopped', database: 'vitam-mongo' },
        found: { kind: 'balancer', settings: null },
      },
    ],
  } as const;
  expect(
    ledgerScreen(
      [
        { host: 'app-1', timezone, view: { host: 'app-1', held }, error: null },
        { host: 'app-2', timezone, view: { host: 'app-2', held: null }, error: null },
        { host: 'db-1', timezone, view: null, error: 'no agent took it up' },
      ],
      clock.now,
    ),
  ).toBe(
    [
      'app-1   held by nightly, night 2026-11-21, up by 08:30 (coldbackup/vitam/nightly, epoch 3)',
      '  service ingest-internal   stopped         since 20:00   found running',
      '  balancer of vitam-mongo   being stopped   since 20:00   will be put back as found',
      'app-2   free: nothing is held',
      'db-1   no answer: no agent took it up',
    ].join('\n'),
  );
});

describe('sets', () => {
  const summary: SetSummary = {
    set,
    store: 'vault',
    format: 1,
    night: '2026-11-21',
    publishedAt: '2026-11-21T21:30:00.000Z',
    sizeBytes: 1_234_567_890,
    artifacts: 4,
    complete: true,
  };

  test('are listed with night, store and size', () => {
    expect(setsScreen([])).toBe('no sets');
    const proof = { at: '2026-11-22T10:00:00.000Z', passed: true };
    expect(
      setsScreen([
        { ...summary, proof },
        { ...summary, verified: { at: proof.at, passed: false, mended: false } },
        { ...summary, format: 0, publishedAt: '', unreadable: 'it is no manifest of this set' },
      ]),
    ).toBe(
      [
        'set                           procedure   night        store   size      artifacts                 read again   drill',
        '2026-11-21T190004Z-1a2b3c4d   nightly     2026-11-21   vault   1.23 GB   4                         -            proven 2026-11-22',
        '2026-11-21T190004Z-1a2b3c4d   nightly     2026-11-21   vault   1.23 GB   4, DAMAGED                2026-11-22   -',
        '2026-11-21T190004Z-1a2b3c4d   nightly     2026-11-21   vault             manifest cannot be read',
      ].join('\n'),
    );
  });

  test('show their artifacts', () => {
    const manifest: Manifest = {
      format: 1,
      coldbackup: '0.1.0',
      set,
      night: '2026-11-21',
      workflowId: 'w',
      runId: 'r',
      siteDigest: 'd',
      startedAt: '2026-11-21T19:00:04.000Z',
      publishedAt: '2026-11-21T21:30:04.000Z',
      complete: true,
      artifacts: [
        {
          name: 'offer-files/files.tar.zst',
          store: 'vault',
          host: 'app-1',
          database: 'offer-files',
          sizeBytes: 1_000,
          sha256: 'ab'.repeat(32),
          contentBytes: 4_000,
          files: 12,
          fileList: { name: 'offer-files/files.sha256', sha256: 'cd'.repeat(32), sizeBytes: 100 },
          startedAt: '2026-11-21T21:00:00.000Z',
          endedAt: '2026-11-21T21:10:00.000Z',
          leftOut: [],
        },
      ],
      databases: [],
      steps: report.steps,
      decisions: [],
      warnings: [],
    };
    expect(setScreen(manifest, [])).toBe(
      [
        '2026-11-21T190004Z-1a2b3c4d   vitam/nightly · night 2026-11-21 · published 2026-11-21T21:30:04.000Z',
        '',
        'artifact                    host    size   content   files   sha256',
        'offer-files/files.tar.zst   app-1   1 kB   4 kB      12      abababababababab',
        '',
        '1 artifact, 1.1 kB with their lists of files; 3 steps; published 2 h 30 min after the start',
        '',
        'no drill has proven it yet',
      ].join('\n'),
    );
  });

  test('are verified digest by digest', () => {
    const verification = {
      set,
      store: 'vault',
      checkedBytes: 1_000,
      artifacts: 1,
      elsewhere: [],
      problems: [],
    };
    expect(verificationScreen([verification, verification])).toBe(
      'every digest is right: 2 artifacts, 2 kB read',
    );
    expect(verificationScreen([{ ...verification, problems: ['files.tar.zst: 1a… instead of 2b…'] }])).toBe(
      ['1 problem: 1 artifact, 1 kB read', '  files.tar.zst: 1a… instead of 2b…'].join('\n'),
    );
  });
});

test('runs: what ran, when, how long, with what outcome', () => {
  const run = { site: 'vitam', procedure: 'nightly', workflowId: 'w', runId: 'r' };
  expect(
    runsScreen(
      [
        { ...run, state: 'running', startedAt: '2026-11-22T02:00:00.000Z', endedAt: null, report: null },
        { ...run, state: 'complete', startedAt: report.startedAt, endedAt: report.endedAt, report },
        { ...run, state: 'lost', startedAt: report.startedAt, endedAt: report.endedAt, report: null },
      ],
      clock,
    ),
  ).toBe(
    [
      'run             started   took          outcome    set, or why not',
      'vitam/nightly   03:00                   running',
      'vitam/nightly   20:00     12 h 04 min   complete   1.23 GB in vault',
      'vitam/nightly   20:00     12 h 04 min   lost',
    ].join('\n'),
  );
});

test('durations read the same everywhere', () => {
  expect([0, 42_900, 61_000, 18_720_000].map(roughly)).toEqual(['0 s', '42 s', '1 min', '5 h 12']);
  expect([400, 12_300, 59_600, 250_000, 43_440_000].map(exactly)).toEqual([
    '0.4 s',
    '12 s',
    '59 s',
    '4 min 10 s',
    '12 h 04 min',
  ]);
});
