import { describe, expect, test } from '@jest/globals';
import { detailsOf } from '../../workflows/details.ts';
import { atNight, vitamProgress } from './progress.ts';

describe('the page of a run in the Temporal UI', () => {
  test('says what runs, until when, what follows, and what is down, on the clock of the site', () => {
    expect(detailsOf(vitamProgress(), atNight)).toBe(
      [
        '**vitam/nightly** · since 20:00 · restart 08:00 · up by 08:30 (Europe/Paris)',
        '- **2/processing/1** waiting for active-workflows = 0 until 03:00, then fail: all is brought back',
        '**down** ingest-external on app-1 since 20:00, ingest-internal on app-1 since 20:00',
      ].join('\n\n'),
    );
  });

  test('says who let it wait, what is asked, and which Update answers', () => {
    const asked = vitamProgress({
      now: [],
      down: [],
      paused: { at: atNight, what: 'pause', by: 'ada', why: 'a disk is being replaced' },
      questions: [
        {
          step: '2/processing/1',
          text: 'Go on with 3 workflows active?',
          answers: ['continue', 'fail'],
          since: atNight,
          by: '2026-11-22T02:45:00.000Z',
          else: 'fail',
        },
      ],
    });
    expect(detailsOf(asked, atNight).split('\n\n')[1]).toBe(
      [
        '- between two steps',
        '- **paused** by ada: a disk is being replaced. Update `resume` goes on',
        '- **2/processing/1 asks** Go on with 3 workflows active? Update `answer`: continue or fail; from 03:45 on fail',
      ].join('\n'),
    );
  });

  test('says what is not back, and how it is brought back; many services are counted', () => {
    const down = Array.from({ length: 15 }, (_, index) => ({
      ...{ service: `s${index}`, host: 'app-1', since: atNight, step: '1' },
    }));
    const notBack = [{ id: '1', what: 'stop web', host: 'app-1', why: 'exit code 1' }];
    const text = detailsOf(vitamProgress({ down, notBack, warnings: ['a warning'] }), atNight);
    expect(text).toMatch(/s11 on app-1 since 03:18 and 3 more/);
    expect(text).toMatch(
      /\n\n\*\*not back\*\* stop web on app-1: exit code 1\. There: `coldbackup recover --host app-1 --site FILE`\n\n/,
    );
    expect(text).toMatch(/\n\n\*note\* a warning$/);
  });
});
