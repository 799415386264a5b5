import type { Progress } from '../../model/progress.ts';

/** The Vitam night as the design shows it: 03:18 in Paris, waiting for the work to drain. */
export const atNight = '2026-11-22T02:18:00.000Z';

export function vitamProgress(over: Partial<Progress> = {}): Progress {
  return {
    site: 'vitam',
    procedure: 'nightly',
    phase: 'steps',
    since: '2026-11-21T19:00:04.000Z',
    timezone: 'Europe/Paris',
    night: '2026-11-21',
    restartAt: '2026-11-22T07:00:00.000Z',
    upBy: '2026-11-22T07:30:00.000Z',
    steps: [
      {
        id: '1',
        label: 'stop ingest-internal, ingest-external',
        depth: 0,
        state: 'done',
        startedAt: '2026-11-21T19:00:10.000Z',
        endedAt: '2026-11-21T19:00:52.000Z',
      },
      {
        id: '2',
        label: 'at the same time: logbook, processing',
        depth: 0,
        state: 'running',
        startedAt: '2026-11-21T19:00:52.000Z',
        endedAt: null,
      },
      {
        id: '2/logbook/1',
        label: 'wait for job logbook-securing',
        depth: 1,
        state: 'done',
        startedAt: '2026-11-21T19:00:52.000Z',
        endedAt: '2026-11-21T23:12:00.000Z',
        detail: 'ended well',
      },
      {
        id: '2/processing/1',
        label: 'wait for active-workflows = 0',
        depth: 1,
        state: 'waiting',
        startedAt: '2026-11-21T19:00:52.000Z',
        endedAt: null,
      },
      {
        id: '3',
        label: 'stop elasticsearch',
        depth: 0,
        state: 'not-reached',
        startedAt: null,
        endedAt: null,
      },
    ],
    now: [
      {
        step: '2/processing/1',
        text: 'waiting for active-workflows = 0',
        since: '2026-11-21T19:00:52.000Z',
        until: '2026-11-22T02:00:00.000Z',
        then: 'fail: all is brought back',
      },
    ],
    down: [
      { service: 'ingest-external', host: 'app-1', since: '2026-11-21T19:00:30.000Z', step: '1' },
      { service: 'ingest-internal', host: 'app-1', since: '2026-11-21T19:00:12.000Z', step: '1' },
    ],
    notBack: [],
    paused: null,
    questions: [],
    decisions: [],
    warnings: [],
    report: null,
    ...over,
  };
}
