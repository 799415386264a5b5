import { describe, expect, test } from '@jest/globals';
import { changesBetween } from '../../cli/screens/changes.ts';
import { liveLines } from '../../cli/screens/live.ts';
import { statusScreen } from '../../cli/screens/status.ts';
import type { CopyProgress } from '../../model/activities.ts';
import { atNight, vitamProgress } from './progress.ts';

const moment = { copies: [], now: atNight, timezone: 'UTC' };

describe('the status screen', () => {
  test('says since when and until when, what runs, what is down, and what can be done', () => {
    const screen = statusScreen(vitamProgress(), {
      ...moment,
      waits: [{ kind: 'count', last: '3' }],
      bringBackMs: 4 * 60_000,
    });

    expect(screen).toBe(
      [
        'vitam/nightly   since 20:00 · restart 08:00 · up by 08:30 (5 h 12 left)',
        'now    waiting for active-workflows = 0 (3 now)   until 03:00, then fail: all is brought back',
        'down   2 services; longest ingest-internal, 7 h 17        not back: none',
        'do     coldbackup abort vitam --why "…"   (brings 2 services back, at most 4 min)',
      ].join('\n'),
    );
  });

  test('has a line for each copy, with bytes and rate', () => {
    const copies: CopyProgress[] = [
      {
        artifact: 'vitam-mongo/mongo-1_27018.tar.zst',
        readBytes: 1_200_000_000,
        writtenBytes: 400_000_000,
        totalBytes: 4_100_000_000,
        bytesPerSecond: 110_000_000,
      },
      {
        artifact: 'offer-files/files.tar.zst',
        readBytes: 512,
        writtenBytes: 0,
        totalBytes: null,
        bytesPerSecond: 512.4,
      },
    ];
    const item = { step: '6', since: '2026-11-22T02:17:18.000Z', until: null, then: null };
    const progress = vitamProgress({
      now: [{ ...item, text: 'copying vitam-mongo/mongo-1_27018.tar.zst to vault' }],
    });

    expect(
      statusScreen(progress, { ...moment, copies })
        .split('\n')
        .slice(1, 4),
    ).toEqual([
      'now    copying vitam-mongo/mongo-1_27018.tar.zst to vault   42 s so far',
      '       vitam-mongo/mongo-1_27018.tar.zst   1.2 GB of 4.1 GB (29 %), 110 MB/s',
      '       offer-files/files.tar.zst   512 B, 512 B/s',
    ]);
  });

  test('names what is not back, and the command that brings it back', () => {
    const progress = vitamProgress({
      phase: 'bring-back',
      now: [],
      down: [],
      notBack: [
        { id: '3/0', what: 'stop metadata', host: 'app-2', why: 'no answer: no agent took up undoChange' },
      ],
    });

    expect(statusScreen(progress, moment)).toBe(
      [
        'vitam/nightly   since 20:00 · restart 08:00 · up by 08:30 (5 h 12 left)',
        'now    bringing everything back',
        'down   nothing        not back: 1',
        '       stop metadata on app-2: no answer: no agent took up undoChange',
        'do     on app-2: coldbackup recover --host app-2 --site FILE   (from the journal there, without Temporal)',
      ].join('\n'),
    );
  });

  test('is of use before there is a plan', () => {
    const progress = vitamProgress({
      ...{ phase: 'resolve', timezone: null, restartAt: null, upBy: null, steps: [], now: [], down: [] },
    });

    expect(statusScreen(progress, moment)).toBe(
      [
        'vitam/nightly   since 19:00',
        'now    resolving the plan; nothing is changed yet',
        'down   nothing        not back: none',
        'do     coldbackup abort vitam --why "…"   (nothing is down)',
      ].join('\n'),
    );
  });

  test('says how late it is after up-by, and gives the date of what is far', () => {
    const header = (now: string) => statusScreen(vitamProgress(), { ...moment, now }).split('\n')[0];

    expect(header('2026-11-22T07:42:00.000Z')).toContain('up by 08:30 (12 min late)');
    expect(header('2026-11-23T12:00:00.000Z')).toContain('since 21 Nov 20:00');
  });

  test('shows instants inside a text as clock times of the site', () => {
    const progress = vitamProgress({
      now: [
        {
          step: '3',
          text: 'waiting for 2026-11-22T03:00:00.000Z',
          since: atNight,
          until: '2026-11-22T03:00:00.000Z',
          then: null,
        },
      ],
    });

    expect(statusScreen(progress, moment)).toContain('now    waiting for 04:00   until 04:00\n');
  });

  test('tells a night of minutes in seconds', () => {
    const progress = vitamProgress({
      since: '2026-11-22T02:16:58.000Z',
      restartAt: null,
      upBy: '2026-11-22T02:20:30.000Z',
    });

    expect(statusScreen(progress, moment).split('\n')[0]).toBe(
      'vitam/nightly   since 03:16:58 · restart when done · up by 03:20:30 (2 min left)',
    );
  });
});

test('the live view shows the tree of steps with their times', () => {
  expect(
    liveLines(vitamProgress({ warnings: ['app-1: logbook: found stopped'] }), [], atNight, 'UTC'),
  ).toEqual([
    'vitam/nightly   since 20:00 · restart 08:00 · up by 08:30 (5 h 12 left)',
    '✓ 1  stop ingest-internal, ingest-external   42 s',
    '▸ 2  at the same time: logbook, processing   7 h 17',
    '✓   2/logbook/1  wait for job logbook-securing   4 h 11 min',
    '…   2/processing/1  wait for active-workflows = 0   7 h 17',
    '· 3  stop elasticsearch',
    'now    waiting for active-workflows = 0   until 03:00, then fail: all is brought back',
    'down   2 services; longest ingest-internal, 7 h 17        not back: none',
    'note   app-1: logbook: found stopped',
  ]);
});

describe('what can be done', () => {
  const doLines = (changes: Parameters<typeof vitamProgress>[0]) =>
    statusScreen(vitamProgress(changes), moment)
      .split('\n')
      .filter((line) => line.includes('coldbackup '));
  const question = {
    text: 'Go on?',
    answers: ['continue', 'fail'],
    since: atNight,
    by: '2026-11-22T03:00:00.000Z',
    else: 'fail',
  };
  const paused = { at: atNight, what: 'pause', by: 'ada', why: 'looking first' };

  test('begins with what is asked, each with its step where several ask', () => {
    expect(doLines({ questions: [{ ...question, step: '2/processing/1' }], paused })).toEqual([
      'do     coldbackup answer vitam continue|fail --why "…"   (Go on?)',
      '       coldbackup resume vitam --why "…"   (paused by ada: looking first)',
      '       coldbackup abort vitam --why "…"   (brings 2 services back)',
    ]);
    const two = ['2/logbook/1', '2/processing/1'].map((step) => ({ ...question, step }));
    expect(doLines({ questions: two })).toEqual([
      'do     coldbackup answer vitam continue|fail --step 2/logbook/1 --why "…"   (Go on?)',
      '       coldbackup answer vitam continue|fail --step 2/processing/1 --why "…"   (Go on?)',
      '       coldbackup abort vitam --why "…"   (brings 2 services back)',
    ]);
  });

  test('is the end of the archives once services are up', () => {
    expect(doLines({ phase: 'archive', down: [] })).toEqual([
      'do     coldbackup abort vitam --why "…"   (ends the archives: no set; services are up)',
    ]);
  });

  test('is an early restart once all steps are done, and another try while bringing back waits', () => {
    expect(doLines({ phase: 'restart-wait' })[0]).toBe(
      'do     coldbackup bring-back vitam --why "…"   (restarts 2 services now, the set stays)',
    );
    const round = { step: 'bring-back', text: 'round 2 for app-1', since: atNight, until: null, then: null };
    expect(doLines({ phase: 'bring-back', now: [round] })[0]).toBe(
      'do     coldbackup retry vitam --why "…"   (tries again now)',
    );
  });
});

describe('the lines of a log', () => {
  test('say what changed between two looks, and nothing when nothing did', () => {
    const before = vitamProgress();
    const [stop, tree, job, drain, last] = before.steps;
    if (!stop || !tree || !job || !drain || !last) throw new Error('five steps');
    const after = vitamProgress({
      phase: 'bring-back',
      now: [
        { step: 'bring-back', text: 'app-1: undo: stop logbook', since: atNight, until: null, then: null },
      ],
      steps: [
        ...[stop, tree, job],
        { ...drain, state: 'failed', endedAt: '2026-11-22T02:00:00.000Z', detail: 'not reached: 3' },
        last,
      ],
    });

    expect(changesBetween(before, after, atNight, 'UTC')).toEqual([
      '03:18:00  vitam/nightly: bring-back',
      '03:18:00  step 2/processing/1 wait for active-workflows = 0: failed (6 h 59 min): not reached: 3',
      '03:18:00  app-1: undo: stop logbook',
    ]);
    expect(changesBetween(after, after, atNight, 'UTC')).toEqual([]);
  });

  test('say who decided what, and why', () => {
    const decision = {
      at: atNight,
      what: 'extend',
      detail: 'up by 2026-11-22T08:30:00.000Z',
      by: 'ada',
      why: 'the copy is slow tonight',
    };
    expect(changesBetween(vitamProgress(), vitamProgress({ decisions: [decision] }), atNight, 'UTC')).toEqual(
      ['03:18:00  ada decided: extend up by 09:30 (the copy is slow tonight)'],
    );
  });

  test('begin with what has happened so far', () => {
    expect(changesBetween(null, vitamProgress(), atNight, 'UTC')).toEqual([
      '03:18:00  vitam/nightly: steps',
      '03:18:00  step 1 stop ingest-internal, ingest-external: done (42 s)',
      '03:18:00  step 2 at the same time: logbook, processing: running',
      '03:18:00  step 2/logbook/1 wait for job logbook-securing: done (4 h 11 min): ended well',
      '03:18:00  step 2/processing/1 wait for active-workflows = 0: waiting',
      '03:18:00  waiting for active-workflows = 0 until 03:00, then fail: all is brought back',
    ]);
  });
});
