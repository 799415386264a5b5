import { describe, expect } from '@jest/globals';
import { everyNight, forEach, harmless, undoing } from './every.ts';

describe('a night in virtual time', () => {
  const every = everyNight();

  forEach(
    'brings everything back wherever it is cancelled',
    () => every.calls((call) => !undoing.test(call) && !harmless.test(call)),
    (call) =>
      every.cancelledAt(call, ({ report, differences }) => {
        expect([call, differences]).toEqual([call, []]);
        expect([call, report.outcome]).toEqual([call, 'cancelled']);
      }),
  );
});
