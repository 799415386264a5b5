import { describe, expect } from '@jest/globals';
import { everyNight, forEach, harmless, undoing } from './every.ts';

describe('a night in virtual time', () => {
  const every = everyNight();

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
