import { describe, expect, test } from '@jest/globals';
import { predictBringBack } from '../../model/bring-back.ts';

const timing = {
  web: { stopWithinMs: 60_000, readyWithinMs: 180_000 },
  cache: { stopWithinMs: 60_000, readyWithinMs: 2_000 },
};
const holds = { one: ['service/web', 'balancer/db'], two: ['service/web', 'service/cache'] };

describe('how long bringing back takes', () => {
  test('is a stated default before any night, and no more than ready.within', () => {
    expect(predictBringBack({ holds, timing }, {})).toEqual({
      ms: 1.5 * (10_000 + 2_000) + 60_000,
      atLeastMs: 60_000,
      measured: 0,
      services: 2,
    });
  });

  test('is what earlier nights took: of a service on several hosts the slowest, one service after the other', () => {
    const measured = { one: { web: 40_000 }, two: { web: 90_000, cache: 1_000, gone: 500_000 } };
    expect(predictBringBack({ holds, timing }, measured)).toEqual({
      ms: 1.5 * 91_000 + 60_000,
      atLeastMs: 1.5 * 91_000 + 60_000,
      measured: 2,
      services: 2,
    });
  });

  test('counts what was never measured besides what was', () => {
    expect(predictBringBack({ holds, timing }, { one: { web: 40_000 } })).toEqual({
      ms: 1.5 * 42_000 + 60_000,
      atLeastMs: 1.5 * 40_000 + 60_000,
      measured: 1,
      services: 2,
    });
  });
});
