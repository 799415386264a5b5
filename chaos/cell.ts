import { setTimeout as sleep } from 'node:timers/promises';
import { RunLostError, type RunRef } from '../client/index.ts';
import { waitFor } from '../demo/local/wait.ts';
import { checkAfter, notBack, type RunEnd } from './checks.ts';
import { NotApplicable, type Fault, type Strike } from './fault.ts';
import { positions, type Position } from './positions.ts';
import type { Rig } from './rig.ts';
import { look, lookBefore, manifestsIn, type Before, type Seen } from './seen.ts';
import { graceMs, hosts, type SiteKind } from './site.ts';

export interface CellResult {
  readonly position: string;
  readonly fault: string;
  readonly state: 'held' | 'failed' | 'not applicable';
  /** From the fault until all was back; null: not applicable, or never. */
  readonly backMs: number | null;
  /** How long after up-by, negative: before it; absent: the night had none that is near. */
  readonly lateMs?: number;
  readonly outcome: RunEnd['outcome'] | null;
  /** What failed, or why it does not apply. */
  readonly why: string;
  /** Of the rig, where it is kept. */
  readonly logs?: string;
}

const patientMs = 30 * 60_000;
const shortMs = 25_000;
const reachedWithinMs = 90_000;
/** A host that did not answer is given up after a minute, and asked again. */
const endsWithinMs = 180_000;
const attempts = 3;
/** A replica set that has lost its majority elects ten seconds after it has one again. */
const slower: Partial<Record<SiteKind, number>> = { mongodb: 30_000, sharded: 60_000 };

/** One fault at one position where it applies; struck again where the night had gone on by then. */
export async function runCell(rig: Rig, fault: Fault, position: Position): Promise<CellResult> {
  const cell = { position: position.name, fault: fault.name };
  let missed = '';
  for (let attempt = 1; attempt <= attempts; attempt++) {
    const tried = await tryCell(rig, fault, position, attempt);
    if (tried.problems.length > 0) {
      const { outcome, backMs, late } = tried;
      const why = [...tried.problems, ...(tried.missed === null ? [] : [`(${tried.missed})`])].join('; ');
      return { ...cell, state: 'failed', backMs, ...late, outcome, why, logs: rig.folder };
    }
    if (tried.missed === null)
      return { ...cell, state: 'held', backMs: tried.backMs, ...tried.late, outcome: tried.outcome, why: '' };
    missed = tried.missed;
    if (tried.final) break;
  }
  return { ...cell, state: 'not applicable', backMs: null, outcome: null, why: missed };
}

interface Tried {
  readonly problems: readonly string[];
  /** Why the fault did not strike there. */
  readonly missed: string | null;
  /** It never will. */
  readonly final: boolean;
  readonly backMs: number | null;
  readonly late: Pick<CellResult, 'lateMs'>;
  readonly outcome: RunEnd['outcome'] | null;
}

async function tryCell(rig: Rig, fault: Fault, position: Position, attempt: number): Promise<Tried> {
  const over = new AbortController();
  try {
    return await tryOnce(rig, { fault, position, attempt }, over.signal);
  } finally {
    over.abort();
  }
}

async function tryOnce(
  rig: Rig,
  { fault, position, attempt }: { fault: Fault; position: Position; attempt: number },
  over: AbortSignal,
): Promise<Tried> {
  const isShort = position.short === true || fault.night === 'short';
  const { before, run, upByMs } = await begin(rig, { fault, position, isShort, attempt });
  const isBack = new AbortController();
  const cell: Strike = {
    rig,
    position,
    host: position.host,
    run,
    upByMs,
    backAgain: AbortSignal.any([isBack.signal, over]),
  };
  const early = endOf(rig, run, over);
  const hasEnded = () => early.ended !== null;
  const disarm = await arm(cell, { before, hasEnded });
  const struck = await approachAndStrike(cell, { fault, before, hasEnded }).finally(disarm);
  rig.site.setBusy(0);
  // A reset run has another id.
  const running = cell.run === run ? early : endOf(rig, cell.run, over);
  const problems: string[] = [];
  let backMs: number | null = null;
  let lateness: Pick<CellResult, 'lateMs'> = {};
  if (struck.atMs !== null) {
    await fault.end?.(cell).catch((error: unknown) => problems.push(messageOf(error)));
    const fromMs = Math.max(Date.now(), isShort ? upByMs + graceMs : 0) + (slower[rig.kind] ?? 0);
    const back = await untilBack(rig, {
      isOver: () => running.ended !== null || (isShort && Date.now() >= upByMs + graceMs),
      deadlineMs: fromMs + fault.withinMs,
    });
    if (typeof back === 'number') {
      backMs = Math.max(0, back - struck.atMs);
      if (isShort) lateness = { lateMs: back - upByMs };
    } else problems.push(`${back} ${fault.withinMs / 1_000} s after it had to be`);
  }
  isBack.abort();
  if (struck.atMs !== null) await fault.mend?.(cell);
  const end = await waitFor(() => running.ended, { what: 'the run to end', withinMs: endsWithinMs });
  const late = comesLate(fault, position) || struck.missed !== null;
  problems.push(...(await checkAfter(rig, { fault, before, end, late })));
  const missed = struck.missed ?? (await Promise.resolve(fault.notSeen?.(cell))) ?? null;
  return { problems, missed, final: struck.final, backMs, late: lateness, outcome: end.outcome };
}

async function begin(
  rig: Rig,
  wanted: { fault: Fault; position: Position; isShort: boolean; attempt: number },
): Promise<{ before: Before; run: RunRef; upByMs: number }> {
  const { fault, position, isShort, attempt } = wanted;
  await rig.ensureWatchdog(fault.watchdog === true);
  if (isShort) await rig.forgetMeasures();
  rig.site.setBusy(position.busy === true ? 1 : 0);
  rig.site.forgetAsked();
  await waitFor(async () => (await notBack(rig)) === undefined, { what: 'a whole site', withinMs: 30_000 });
  if (fault.keepsEarlier === true && manifestsIn(rig).length === 0)
    await rig.library.result(await rig.library.start('chaos', 'patient', { again: true }));
  const before = lookBefore(rig);
  const start = async () => {
    const withinMs = (shortMs + (slower[rig.kind] ?? 0)) * (1 + (attempt - 1) / 2);
    const upByMs = Date.now() + (isShort ? withinMs : patientMs);
    const options = { upBy: new Date(upByMs).toISOString(), again: true };
    return { upByMs, run: await rig.library.start('chaos', isShort ? 'short' : 'patient', options) };
  };
  // A server or a control that was just started may not answer at once.
  const started = await waitFor(start, { what: 'a run to start', withinMs: 60_000 });
  return { before, ...started };
}

/** In time: the first service takes a second to stop, and what is armed comes after the last. */
async function arm(
  { rig, position }: Strike,
  { before, hasEnded }: { before: Before; hasEnded: () => boolean },
): Promise<() => Promise<void>> {
  if (position.arm === undefined) return () => Promise.resolve();
  const isClaimed = () => {
    const seen = look(rig, before);
    return seen !== null && hosts.every((host) => seen.claimed(host));
  };
  await waitFor(() => isClaimed() || hasEnded(), { what: 'both hosts claimed', withinMs: reachedWithinMs });
  return position.arm(rig);
}

interface Struck {
  /** null: the position was never reached. */
  readonly atMs: number | null;
  readonly missed: string | null;
  readonly final: boolean;
}

async function approachAndStrike(
  cell: Strike,
  { fault, before, hasEnded }: { fault: Fault; before: Before; hasEnded: () => boolean },
): Promise<Struck> {
  const { rig, position } = cell;
  const deadline = Date.now() + reachedWithinMs;
  for (;;) {
    const seen = look(rig, before);
    if (seen !== null && position.passed(seen))
      return { atMs: null, missed: 'the night was past it when it was seen', final: false };
    if (seen !== null && position.reached(seen)) return strike(cell, fault, before, seen);
    if (hasEnded()) return { atMs: null, missed: 'the run ended before it', final: false };
    if (Date.now() > deadline) throw new Error(`"${position.name}" was not reached`);
    await sleep(2);
  }
}

async function strike(cell: Strike, fault: Fault, before: Before, seen: Seen): Promise<Struck> {
  const { rig, position } = cell;
  const { control } = rig;
  if (fault.takesTime === true) control.kill('SIGSTOP');
  const letGo = position.hold?.(seen) ?? null;
  const atMs = Date.now();
  try {
    await fault.strike(cell);
    const after = await waitFor(() => look(rig, before), { what: 'a look', withinMs: 5_000 });
    const missed = position.passed(after) ? `the night had gone on ${Date.now() - atMs} ms later` : null;
    return { atMs, missed, final: false };
  } catch (error) {
    if (error instanceof NotApplicable) return { atMs: null, missed: error.message, final: true };
    throw error;
  } finally {
    letGo?.();
    if (fault.takesTime === true) control.kill('SIGCONT');
  }
}

/** When all was back for good, in ms since 1970; or what is not. */
async function untilBack(
  rig: Rig,
  { isOver, deadlineMs }: { isOver: () => boolean; deadlineMs: number },
): Promise<number | string> {
  for (let since: number | null = null; ;) {
    const wrong = await notBack(rig);
    since = wrong === undefined ? (since ?? Date.now()) : null;
    if (since !== null && isOver()) return since;
    if (Date.now() > deadlineMs) return wrong ?? 'the run has not ended';
    await sleep(20);
  }
}

function endOf({ library }: Rig, run: RunRef, signal: AbortSignal): { ended: RunEnd | null } {
  const state: { ended: RunEnd | null } = { ended: null };
  const { runId } = run;
  const watch = async () => {
    try {
      const report = await library.result(run, { signal });
      state.ended = { outcome: report.outcome, report, runId };
    } catch (error) {
      if (error instanceof RunLostError) state.ended = { outcome: 'lost', report: null, runId };
    }
  };
  void watch();
  return state;
}

function comesLate({ tooLateFrom }: Fault, { name }: Position): boolean {
  const place = (wanted: string | undefined) => positions.findIndex((position) => position.name === wanted);
  return tooLateFrom !== undefined && (place(name) < 0 || place(name) >= place(tooLateFrom));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
