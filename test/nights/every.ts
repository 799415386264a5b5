import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { WorkflowHandle } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import type { Miniature } from './miniature.ts';
import { abortUpdate } from '../../workflows/messages.ts';
import { openNights, StalledError, type Night, type Nights, type Prepare, type Restored } from './night.ts';

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
  readonly restore: EveryRestore;
}

/** Restores of the set that the clean night has made. */
export interface EveryRestore extends Pick<EveryNight, 'clean' | 'calls' | 'failing'> {
  abortedAt(call: string, check: (night: Night) => void): Promise<void>;
  /** The agent is killed when the call is done, and started again once it was missed for a while. */
  killedAt(call: string, check: (night: Night) => void): Promise<void>;
}

/** For the tests of a `describe`; its last test says what the test server was stuck by. */
export function everyNight(): EveryNight {
  let nights: Nights;
  let clean: Night;
  let restored: Restored;
  let cleanRestore: Night;
  const unknown: string[] = [];
  let tried = 0;

  beforeAll(async () => {
    nights = await openNights('examples/vitam.yaml');
    clean = await nights.run(() => undefined);
    const [manifest] = clean.manifests;
    if (manifest === undefined) throw new Error(`no set: ${JSON.stringify(clean.report)}`);
    restored = { restored: manifest };
    cleanRestore = await nights.run(() => undefined, restored);
  }, 120_000);
  afterAll(() => nights.close());

  return {
    clean: () => clean,
    calls: (which) => callsOf(clean, 'resolvePlan').filter(which),
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
      known(call, nights.run(endingAt(call, (running) => running.cancel())), check),
    restore: {
      clean: () => cleanRestore,
      calls: (which) => callsOf(cleanRestore, 'resolveRestore').filter(which),
      failing: (call, check) =>
        known(
          call,
          nights.run((miniature) => (miniature.fault = failing(call, miniature)), restored),
          check,
        ),
      abortedAt: (call, check) => known(call, nights.run(endingAt(call, abort), restored), check),
      killedAt: (call, check) =>
        known(
          call,
          nights.run((miniature) => killing(call, miniature), restored),
          check,
        ),
    },
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
export function forEach<T>(title: string, calls: () => readonly T[], run: (call: T) => Promise<void>): void {
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

function callsOf({ calls }: Night, resolve: string): readonly string[] {
  return [`control ${resolve}`, ...calls, 'control writeReport'].map((call) => `${call} `);
}

/** What of a run is asked again for as long as it takes. */
const patient = /^\S+ (commit|takeOver)\b/;

function killing(call: string, miniature: Miniature): void {
  const [host = ''] = call.split(' ');
  let gone = false;
  let unanswered = 0;
  miniature.lost = async (one) => {
    if (`${one} ` !== call || unanswered > 0) return;
    gone = true;
    await refuse(one);
  };
  miniature.fault = async (one) => {
    if (gone && one.startsWith(`${host} `)) await refuse(one);
  };

  async function refuse(one: string): Promise<never> {
    if (patient.test(one)) unanswered += 1;
    gone = unanswered < 2;
    await miniature.hush();
    throw ApplicationFailure.retryable(`the agent of ${host} is gone`, 'Gone');
  }
}

/** Ended by whoever watches it, in the middle of a call. */
function endingAt(call: string, end: (running: WorkflowHandle) => Promise<unknown>): Prepare {
  return (miniature, handle) => {
    miniature.fault = once(call, async () => {
      const running = await handle();
      await miniature.hush();
      await end(running);
    });
  };
}

function abort(running: WorkflowHandle): Promise<unknown> {
  return running.executeUpdate(abortUpdate, { args: [{ by: 'ann', why: 'the wrong set' }] });
}

function once(call: string, act: () => Promise<void>): (one: string) => Promise<void> {
  let done = false;
  return async (one) => {
    if (done || `${one} ` !== call) return;
    done = true;
    await act();
  };
}
