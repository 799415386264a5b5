import { setTimeout as sleep } from 'node:timers/promises';
import type { Instant } from '../../model/plan.ts';
import type { Limits } from '../../model/site.ts';
import { bringBackOnce, type BringBackDeps } from './bring-back.ts';
import type { Claim, JournalState } from './records.ts';

export const aloneOwner = 'agent alone';

/** The latest up-by that an extension may ask for: so that with grace it stays within longest-down. */
export function latestUpBy({ at }: Pick<Claim, 'at'>, { graceMs, longestDownMs }: Limits): Instant {
  return new Date(Date.parse(at) + longestDownMs - graceMs).toISOString();
}

/** When the agent brings back alone: up-by as extended, plus grace; never beyond longest-down. null: nothing is held. */
export function aloneAtMs(
  { claim, upBy }: Pick<JournalState, 'claim' | 'upBy'>,
  { graceMs, longestDownMs }: Limits,
): number | null {
  if (claim === null) return null;
  return Math.min(Date.parse(upBy ?? claim.upBy) + graceMs, Date.parse(claim.at) + longestDownMs);
}

export interface AloneDeps extends Omit<BringBackDeps, 'onUndo'> {
  readonly now?: () => number;
  /** Takes pino's logger. */
  readonly log: {
    info(fields: Record<string, unknown>, message: string): void;
    warn(fields: Record<string, unknown>, message: string): void;
  };
}

export type AloneStep =
  | { readonly kind: 'free' }
  | { readonly kind: 'early'; readonly untilMs: number }
  /** Somebody took over and is at it. */
  | { readonly kind: 'left'; readonly to: string }
  | { readonly kind: 'back' }
  | { readonly kind: 'not-back'; readonly count: number };

/** An extension may move the instant, and the clock may jump: it is looked at this often at least. */
const lookEveryMs = 5_000;
const firstPauseMs = 5_000;
const longestPauseMs = 5 * 60_000;
/** Whoever took over by way of this agent and gave no sign for so long is gone. */
const quietMs = 5 * 60_000;

/**
 * The line that needs nobody: once the instant has passed and for as long as the journal holds something, brings this
 * host back in rounds, whether or not Temporal answers. Ends with the signal only.
 */
export async function standAlone(deps: AloneDeps, signal: AbortSignal): Promise<void> {
  for (let failures = 0; !signal.aborted;) {
    const step = await aloneStep(deps).catch((error: unknown): AloneStep => {
      deps.log.warn({ err: error }, 'agent alone: a round failed');
      return { kind: 'not-back', count: 1 };
    });
    failures = step.kind === 'not-back' ? failures + 1 : 0;
    await sleep(pauseAfter(step, failures), undefined, { signal }).catch(() => undefined);
  }
}

function pauseAfter(step: AloneStep, failures: number): number {
  if (step.kind === 'early') return Math.min(step.untilMs, lookEveryMs);
  if (step.kind === 'not-back') return Math.min(firstPauseMs * 2 ** (failures - 1), longestPauseMs);
  return lookEveryMs;
}

/** Looks once, and brings back once if it is time. */
export async function aloneStep(deps: AloneDeps): Promise<AloneStep> {
  const { host, site, journal, log } = deps;
  const nowMs = (deps.now ?? Date.now)();
  const state = journal.state();
  const { claim, upBy } = state;
  const atMs = aloneAtMs(state, site.limits);
  if (claim === null || atMs === null) return { kind: 'free' };
  if (nowMs < atMs) return { kind: 'early', untilMs: atMs - nowMs };
  const other = busyOwner(state, nowMs);
  if (other !== null) return { kind: 'left', to: other };

  const why = `it is past up-by ${upBy ?? claim.upBy} and grace, and the journal of ${host} is not empty`;
  log.warn(
    { host, owner: state.owner, procedure: claim.procedure, night: claim.night },
    `${aloneOwner}: ${why}`,
  );
  const { notBack } = await bringBackOnce(
    {
      ...deps,
      onUndo: (entry, outcome) => {
        if (outcome === null) log.info({ host, id: entry.id, change: entry.change }, 'agent alone: undo');
        else if ('did' in outcome) log.info({ host, id: entry.id, ...outcome }, 'agent alone: undone');
        else log.warn({ host, id: entry.id, ...outcome }, 'agent alone: NOT BACK');
      },
    },
    { by: aloneOwner, why },
  );
  if (notBack.length > 0) return { kind: 'not-back', count: notBack.length };
  log.warn({ host }, 'agent alone: all is back, the host is free');
  return { kind: 'back' };
}

/** A run has had its time, and `recover` holds the lock that this agent has now: only the watchdog can be at it. */
function busyOwner({ owner, epochAt, entries }: JournalState, nowMs: number): string | null {
  if (owner === null || owner === aloneOwner || /^(run|recover) /.test(owner)) return null;
  const signs = [epochAt, ...[...entries.values()].map(({ undoneAt }) => undoneAt)];
  const lastMs = Math.max(...signs.map((at) => (at === null ? 0 : Date.parse(at))));
  return nowMs - lastMs < quietMs ? owner : null;
}
