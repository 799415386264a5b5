import { describe, expect, test } from '@jest/globals';
import { everyNight, forEach, harmless, undoing, type EveryRestore } from './every.ts';

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
      expect([call, /"fingerprint":{"none":"[^"]*made to fail/.test(JSON.stringify(manifests))]).toEqual([
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

  describe('that restores a set', () => {
    const { restore } = every;
    type Faults = readonly (readonly [
      keyof Pick<EveryRestore, 'failing' | 'abortedAt' | 'killedAt'>,
      RegExp,
    ])[];
    /** Of each moment the last call. */
    const last = (faults: Faults) => () =>
      faults.map(([how, moment]) => {
        const call = restore.calls((one) => moment.test(one)).at(-1);
        if (call === undefined) throw new Error(`nothing in a restore is ${String(moment)}`);
        return { how, call };
      });

    test('ends complete, on new data everywhere, and all else as it was found', () => {
      const { report, differences, lying } = restore.clean();
      expect(report).toMatchObject({ outcome: 'complete', reason: null, notBack: [] });
      expect(report.restore).toMatchObject({ committed: true });
      expect(report.restore?.targets).toHaveLength(13);
      expect([differences, lying]).toEqual([[], ['new']]);
    });

    forEach(
      'has everything up on the old data, whatever fails, whoever aborts it and whichever agent is killed before it is kept',
      last([
        ['killedAt', / applyChange 3\/0\//],
        ['failing', / attest /],
        ['abortedAt', / applyChange 3\/2\//],
        ['failing', / applyChange 0\//],
      ]),
      ({ how, call }) =>
        restore[how](call, ({ report, differences, lying }) => {
          expect([call, differences, lying]).toEqual([call, [], ['old']]);
          expect([call, report.outcome]).toEqual([call, how === 'abortedAt' ? 'cancelled' : 'failed']);
          expect([call, report.notBack, report.restore?.committed]).toEqual([call, [], false]);
        }),
    );

    forEach(
      'has everything up on the new data from then on: an agent that is killed as it keeps it is waited for',
      last([
        ['killedAt', / commit /],
        ['failing', / mongodbCompare /],
      ]),
      ({ how, call }) =>
        restore[how](call, ({ report, differences, lying }) => {
          expect([call, differences, lying]).toEqual([call, [], ['new']]);
          expect([call, report.outcome]).toEqual([call, how === 'failing' ? 'failed' : 'complete']);
          expect([call, report.notBack, report.restore?.committed]).toEqual([call, [], true]);
        }),
    );
  });
});
