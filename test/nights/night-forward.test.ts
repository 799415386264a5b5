import { describe, expect, test } from '@jest/globals';
import { everyNight, forEach, harmless, undoing } from './every.ts';

describe('a night in virtual time', () => {
  const every = everyNight();

  test('ends complete, with one set, and everything as it was found', () => {
    const { report, published, differences } = every.clean();
    expect(report).toMatchObject({ outcome: 'complete', reason: null, notBack: [] });
    expect(published).toHaveLength(1);
    expect(differences).toEqual([]);
    expect(report.services.length).toBeGreaterThan(12);
  });

  forEach(
    'brings everything back whichever forward activity fails for good',
    () => every.calls((call) => !undoing.test(call) && !harmless.test(call)),
    (call) =>
      every.failing(call, ({ report, published, differences }) => {
        expect([call, differences]).toEqual([call, []]);
        // Any member of a set knows who is primary: one that does not answer is no reason to fail.
        const survives = call.includes('mongodbPrimary');
        expect([call, published.length > 0]).toEqual([call, survives]);
        expect([call, report.outcome]).toEqual([
          call,
          expect.stringMatching(survives ? /^complete$/ : /^(failed|no-go)$/),
        ]);
        expect([call, report.notBack]).toEqual([call, []]);
      }),
  );
});
