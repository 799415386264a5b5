import type { StopEvidence } from '../../model/ledger.ts';
import type { Instant } from '../../model/plan.ts';

/** How a service is observed, stopped, held down and started, whatever runs it. Every driver passes test/services. */
export interface ServiceDriver {
  /** What is there now; a service that cannot be understood is an observation (`unknown`), not an error. */
  observe(signal?: AbortSignal): Promise<Observation>;
  /** Start prevention: refuses every start, by hand too, and says who holds it and what lifts it. Idempotent. */
  holdDown(by: string): Promise<void>;
  /** Lifts {@link holdDown}, and puts back the triggers that a stop under it has stopped. Idempotent. */
  letGo(): Promise<void>;
  /**
   * Ends when every process is gone, or throws {@link ServiceError}. Also stops what would start it again. Stopping a
   * stopped service does nothing. An abort ends the waiting; a stop that systemd has begun goes on.
   */
  stop(options: StopOptions): Promise<StopEvidence>;
  /** Ends when the start command has; {@link waitUntilReady} tells the rest. Starting a running service does nothing. */
  start(options?: StartOptions): Promise<void>;
  /** After this long the driver kills instead of waiting on; Infinity: never; null: cannot tell. */
  stopTimeoutMs(): Promise<number | null>;
  /** What could start it without anybody's hand, and the state of that: `backup.timer (active)`. */
  startedBy(): Promise<readonly string[]>;
}

export interface StopOptions {
  readonly withinMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface StartOptions {
  readonly signal?: AbortSignal | undefined;
  readonly withinMs?: number;
  /** Units that were active before the stop ({@link Observation.dragged}); those still held down are left. */
  readonly also?: readonly string[];
}

export interface Observation {
  readonly state: 'running' | 'stopped' | 'starting' | 'stopping' | 'failed' | 'unknown';
  readonly since: Instant | null;
  /** Changes with every start; stays readable while held down. */
  readonly instance: string | null;
  /** Of the last run; 128 + signal when a signal ended it. */
  readonly lastExit: number | null;
  /** For people: the driver's own words. */
  readonly detail: string;
  /** Every other active unit that goes down with a stop: what requires it, and the triggers. */
  readonly dragged: readonly string[];
  /** The active timers, sockets and paths among {@link dragged}. */
  readonly triggers: readonly string[];
}

/** Thrown when a service does not do what it was asked. The message is complete: what was tried, why not, what to do. */
export class ServiceError extends Error {
  override readonly name = 'ServiceError';
}

/** Nothing of the service runs: it is stopped, or has failed. */
export function isDown(observation: Pick<Observation, 'state'>): boolean {
  return observation.state === 'stopped' || observation.state === 'failed';
}
