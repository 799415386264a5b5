import { describe, expect, test } from '@jest/globals';
import { everyNight, forEach, harmless, undoing } from './every.ts';

describe('a night in virtual time', () => {
  const every = everyNight();
  const forward = () => every.calls((call) => !undoing.test(call) && !harmless.test(call));

  test('ends complete, with one set, and everything as it was found', () => {
    const { report, published, differences } = every.clean();
    expect(report).toMatchObject({ outcome: 'complete', reason: null, notBack: [] });
    expect(published).toHaveLength(1);
    expect(differences).toEqual([]);
    expect(report.services.length).toBeGreaterThan(12);
    // Of each set the first is stopped, and the second lags.
    expect(report.fingerprints?.map(({ member }) => member).sort()).toEqual([
      'app-1:27018',
      'app-1:27019',
      'mongo-1:27028',
    ]);
  });

  forEach('brings everything back whichever forward activity fails for good', forward, (call) =>
    every.failing(call, ({ report, published, differences, manifests }) => {
      expect([call, differences]).toEqual([call, []]);
      // Any member of a set knows who is primary: one that does not answer is no reason to fail. The offer's has no other.
      const isAnswered = call.includes('mongodbPrimary') && !call.includes('mongo-2:27017');
      const isCompared = !call.includes('mongodbFingerprint');
      const survives = isAnswered || call.includes('mongodbNewestFirst') || !isCompared;
      const told = report.warnings.filter((warning) => warning.includes('the set has no fingerprint of'));
      expect([call, told]).toEqual([call, isCompared ? [] : [expect.stringContaining('made to fail')]]);
      expect([call, JSON.stringify(manifests).includes('"fingerprint":{"none":')]).toEqual([
        call,
        !isCompared,
      ]);
      expect([call, published.length > 0]).toEqual([call, survives]);
      expect([call, report.outcome]).toEqual([
        call,
        expect.stringMatching(survives ? /^complete$/ : /^(failed|no-go)$/),
      ]);
      expect([call, report.notBack]).toEqual([call, []]);
    }),
  );

  forEach('brings everything back wherever it is cancelled', forward, (call) =>
    every.cancelledAt(call, ({ report, differences }) => {
      expect([call, differences]).toEqual([call, []]);
      expect([call, report.outcome]).toEqual([call, 'cancelled']);
    }),
  );

  forEach(
    'ends complete when only retention or the report fails',
    () => every.calls((call) => harmless.test(call)),
    (call) =>
      every.failing(call, ({ report, differences }) => {
        expect([call, report.outcome, differences]).toEqual([call, 'complete', []]);
      }),
  );

  forEach(
    'brings all else back whichever undo activity fails for good, and the outcome names what did not come',
    () => every.calls((call) => undoing.test(call)),
    (call) =>
      every.failing(call, ({ report, differences }) => {
        expect([call, report.outcome]).toEqual([call, 'not-back']);
        const [host = '', kind, id = ''] = call.split(' ');
        const notBack = report.notBack;
        expect([call, notBack.map((one) => one.host)]).toEqual([call, expect.arrayContaining([host])]);
        const elsewhere = differences.filter((difference) => !difference.includes(host));
        expect([call, elsewhere]).toEqual([call, []]);
        if (kind === 'undoChange') expect([call, notBack.map((one) => one.id)]).toEqual([call, [id]]);
      }),
  );
});
