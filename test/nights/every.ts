import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ApplicationFailure } from '@temporalio/common';
import type { Miniature } from './miniature.ts';
import { openNights, StalledError, type Night, type Nights } from './night.ts';

/** Once bringing back has begun a failure cannot be answered by bringing back. */
export const undoing = /^\S+ (takeOver|undoChange|release) /;
/** Their failure is told, and changes nothing. */
export const harmless = /^\S+ (pruneSets|writeReport)/;

/** Nights of the example, one for each of its calls. */
export interface EveryNight {
  /** Nothing was made to fail in it. */
  clean(): Night;
  calls(which: (call: string) => boolean): readonly string[];
  failing(call: string, check: (night: Night) => void): Promise<void>;
  cancelledAt(call: string, check: (night: Night) => void): Promise<void>;
}

/** For the tests of a `describe`; its last test says what the test server was stuck by. */
export function everyNight(): EveryNight {
  let nights: Nights;
  let clean: Night;
  let all: readonly string[] = [];
  const unknown: string[] = [];
  let tried = 0;

  beforeAll(async () => {
    nights = await openNights('examples/vitam.yaml');
    clean = await nights.run(() => undefined);
    all = ['control resolvePlan', ...clean.calls, 'control writeReport'].map((call) => `${call} `);
  }, 120_000);
  afterAll(() => nights.close());

  return {
    clean: () => clean,
    calls: (which) => all.filter(which),
    failing: (call, check) =>
      known(
        call,
        nights.run(
          (miniature) => (miniature.fault = failing(call, miniature)),
          undoing.test(call) ? 'short' : 'whole',
        ),
        check,
      ),
    cancelledAt: (call, check) =>
      known(
        call,
        nights.run((miniature, handle) => {
          miniature.fault = once(call, async () => {
            const running = await handle();
            await miniature.hush();
            await running.cancel();
          });
        }),
        check,
      ),
  };

  /** The test server (not a real one) is stuck now and then by a cancel; test/faults has a real one. */
  async function known(call: string, night: Promise<Night>, check: (night: Night) => void): Promise<void> {
    tried += 1;
    try {
      check(await night);
    } catch (error) {
      if (!(error instanceof StalledError)) throw error;
      unknown.push(call);
      console.warn(`the test server was stuck, nothing is known of: ${call}`);
      expect(unknown.length).toBeLessThan(Math.max(3, tried / 5));
    }
  }
}

/** A night waits more than it computes. */
const atOnce = 3;

/** Each of them, a few at a time. */
export function forEach(
  title: string,
  calls: () => readonly string[],
  run: (call: string) => Promise<void>,
): void {
  test(
    title,
    async () => {
      expect(calls().length).toBeGreaterThan(0);
      const left = calls().values();
      const lane = async () => {
        for (const call of left) await run(call);
      };
      const lanes = await Promise.allSettled(Array.from({ length: atOnce }, lane));
      for (const one of lanes) if (one.status === 'rejected') throw one.reason;
    },
    1_800_000,
  );
}

function failing(call: string, miniature: Miniature): (one: string) => Promise<void> {
  return async (one) => {
    if (`${one} ` !== call) return;
    if (!undoing.test(call)) await miniature.hush();
    throw ApplicationFailure.nonRetryable(`made to fail: ${one}`, 'Injected');
  };
}

function once(call: string, act: () => Promise<void>): (one: string) => Promise<void> {
  let done = false;
  return async (one) => {
    if (done || `${one} ` !== call) return;
    done = true;
    await act();
  };
}
