import {
  setCurrentDetails,
  upsertSearchAttributes,
  workflowInfo,
  type CancellationScope,
} from '@temporalio/workflow';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import type { Prediction } from '../model/bring-back.ts';
import type { Ref } from '../model/ledger.ts';
import type { Artifact, DatabaseRecord, SetRef, StepRecord } from '../model/manifest.ts';
import type { Instant, Plan, PlanStep } from '../model/plan.ts';
import type {
  Check,
  DecisionRecord,
  DownService,
  FingerprintCost,
  NotBack,
  NowItem,
  Outcome,
  Phase,
  Progress,
  Question,
  Report,
  RestoreReport,
  ServiceDowntime,
} from '../model/progress.ts';
import type { CopyWay, HostName } from '../model/site.ts';
import { detailsOf } from './details.ts';
import { searchAttributes, type ProcedureInput } from './messages.ts';

/** All that a run knows. The journals on the hosts are the truth; this is what it tells people, and what it asked for. */
export interface Run {
  readonly input: ProcedureInput;
  readonly startedAt: Instant;
  plan: Plan | null;
  registered: readonly string[];
  phase: Phase;
  /** A claim was asked for: the host may hold something even where no answer came. */
  readonly asked: Set<HostName>;
  readonly refs: Map<HostName, Ref>;
  readonly found: Map<string, 'running' | 'stopped'>;
  readonly steps: Map<string, StepState>;
  readonly now: Map<string, NowItem>;
  readonly down: Map<string, DownService>;
  readonly downtimes: Map<string, ServiceDowntime>;
  notBack: readonly NotBack[];
  readonly artifacts: Artifact[];
  readonly databases: DatabaseRecord[];
  /** Stores that a step went on without, and why: they get no set of this run. */
  readonly storesFailed: Map<string, string>;
  readonly sets: Report['sets'][number][];
  checks: readonly Check[];
  /** From preflight on. */
  bringBack: Prediction | null;
  /** How data is taken, by `<database>[/<member>]`, as preflight found it possible. */
  copyBy: Readonly<Record<string, CopyWay | 'stream'>>;
  readonly warnings: string[];
  /** As the plan has them, until an operator extends them. */
  deadline: Pick<Plan, 'restartAt' | 'upBy'>;
  readonly decisions: DecisionRecord[];
  paused: DecisionRecord | null;
  readonly questions: Map<string, OpenQuestion>;
  /** Steps that an operator gave up, also such as are still to come. */
  readonly skips: Set<string>;
  /** To end a step that runs. */
  readonly running: Map<string, CancellationScope>;
  /** Bringing back waits before its next round: may be cut short. */
  bringBackPause: boolean;
  /** All steps are done, and restart.at is not waited for. */
  early: boolean;
  /** How the run ends by an operator's word. */
  end: { readonly outcome: Outcome; readonly reason: string } | null;
  report: Report | null;
  readonly fingerprints: FingerprintCost[];
  /** What steps have left to be done once nothing more is stopped for them. */
  readonly rests: Rest[];
  /** Of a restore: what is replaced, and where what was there before is. */
  restore: RestoreReport | null;
}

/** The archives of copies on the hosts: they are at rest for good, whatever is started again. */
export interface Rest {
  readonly step: PlanStep;
  readonly work: () => Promise<StepResult>;
}

/** What a step says of itself when it is over; nothing: done. */
export interface StepResult {
  readonly outcome: 'done' | 'gave-up' | 'skipped';
  readonly detail?: string;
  /** The step is over when this is: the next one does not wait for it. May be called again where it failed. */
  readonly rest?: () => Promise<StepResult>;
}

export interface OpenQuestion {
  readonly question: Question;
  answer: string | null;
}

export interface StepState {
  readonly step: PlanStep;
  readonly depth: number;
  outcome: StepRecord['outcome'] | 'running';
  startedAt: Instant | null;
  endedAt: Instant | null;
  detail?: string;
}

export function openRun(input: ProcedureInput): Run {
  return {
    input,
    startedAt: nowInstant(),
    plan: null,
    registered: [],
    phase: 'resolve',
    asked: new Set(),
    refs: new Map(),
    found: new Map(),
    steps: new Map(),
    now: new Map(),
    down: new Map(),
    downtimes: new Map(),
    notBack: [],
    artifacts: [],
    storesFailed: new Map(),
    databases: [],
    sets: [],
    checks: [],
    bringBack: null,
    copyBy: {},
    warnings: [],
    deadline: { restartAt: null, upBy: '' },
    decisions: [],
    paused: null,
    questions: new Map(),
    skips: new Set(),
    running: new Map(),
    bringBackPause: false,
    early: false,
    end: null,
    report: null,
    fingerprints: [],
    rests: [],
    restore: null,
  };
}

export function nowInstant(): Instant {
  return new Date(Date.now()).toISOString();
}

export function planOf(run: Run): Plan {
  if (run.plan === null) throw new Error('the plan is not resolved yet');
  return run.plan;
}

/** As long as no night has measured anything, a procedure that restarts when done begins so early. */
const firstNightMs = 15 * 60_000;

/** When bringing back begins at the latest, whatever is still being waited for or copied. */
export function latestOf({ deadline: { restartAt, upBy }, bringBack }: Run): Instant {
  if (restartAt !== null) return restartAt;
  const ms = Math.max(bringBack?.ms ?? 0, (bringBack?.measured ?? 0) > 0 ? 0 : firstNightMs);
  return new Date(Date.parse(upBy) - ms).toISOString();
}

export function setPlan(run: Run, plan: Plan): void {
  run.plan = plan;
  run.deadline = { restartAt: plan.restartAt, upBy: plan.upBy };
  run.warnings.push(...plan.warnings);
  const add = (steps: readonly PlanStep[], depth: number): void => {
    for (const step of steps) {
      run.steps.set(step.id, { step, depth, outcome: 'not-reached', startedAt: null, endedAt: null });
      if (step.kind === 'parallel') for (const branch of step.branches) add(branch.steps, depth + 1);
    }
  };
  add(plan.steps, 0);
}

export function enter(run: Run, phase: Phase): void {
  run.phase = phase;
  const text = { [searchAttributes.site]: run.input.site, [searchAttributes.procedure]: run.input.procedure };
  const values: Record<string, string> = { ...text, [searchAttributes.phase]: phase };
  if (run.report !== null) values[searchAttributes.outcome] = run.report.outcome;
  const known = Object.entries(values).filter(([name]) => run.registered.includes(name));
  if (known.length > 0)
    upsertSearchAttributes(
      known.map(([name, value]) => ({
        key: defineSearchAttributeKey(name, SearchAttributeType.KEYWORD),
        value,
      })),
    );
  tell(run);
}

/** Shows what runs now; the details change on such changes only. */
export function showNow(run: Run, key: string, item: Omit<NowItem, 'since'>): () => void {
  run.now.set(key, { ...item, since: nowInstant() });
  tell(run);
  return () => {
    run.now.delete(key);
    tell(run);
  };
}

/** `vitam-mongo` and its set: where this run's artifacts go. */
export function setRefOf(run: Run): SetRef {
  const { site, procedure, night } = planOf(run);
  const time = run.startedAt.slice(11, 19).replaceAll(':', '');
  return { site, procedure, id: `${night}T${time}Z-${workflowInfo().firstExecutionRunId.slice(0, 8)}` };
}

export function progressOf(run: Run): Progress {
  return {
    ...stateOf(run),
    steps: [...run.steps.values()].map(({ step, depth, outcome, ...rest }) => ({
      ...rest,
      id: step.id,
      label: step.label,
      depth,
      state: outcome === 'running' && run.now.get(step.id)?.until ? 'waiting' : outcome,
    })),
  };
}

/** Without the steps: they may be hundreds, and it is told at each change. */
function stateOf(run: Run): Omit<Progress, 'steps'> {
  const { plan } = run;
  return {
    site: run.input.site,
    procedure: run.input.procedure,
    phase: run.phase,
    since: run.startedAt,
    timezone: plan?.timezone ?? null,
    night: plan?.night ?? null,
    restartAt: run.deadline.restartAt,
    upBy: plan === null ? null : run.deadline.upBy,
    now: [...run.now.values()],
    down: [...run.down.values()],
    notBack: run.notBack,
    paused: run.paused,
    questions: [...run.questions.values()].map(({ question }) => question),
    decisions: run.decisions,
    warnings: run.warnings,
    report: run.report,
  };
}

export function stepRecords(run: Run): readonly StepRecord[] {
  return [...run.steps.values()].map(({ step, outcome, startedAt, endedAt, detail }) => ({
    id: step.id,
    label: step.label,
    outcome: outcome === 'running' ? 'failed' : outcome,
    startedAt,
    endedAt,
    ...(detail !== undefined && { detail }),
  }));
}

/** What the set lacks. */
export function skippedBackups(run: Run): readonly StepRecord[] {
  return stepRecords(run).filter(
    ({ id, outcome }) => outcome === 'skipped' && run.steps.get(id)?.step.kind === 'backup',
  );
}

/** On the page of the run in the Temporal UI. */
export function tell(run: Run): void {
  setCurrentDetails(detailsOf(stateOf(run), nowInstant()));
}

/** Of this run the store gets no set: something is missing there. */
export function leaveOut(run: Run, store: string, why: string): void {
  if (run.storesFailed.has(store)) return;
  run.storesFailed.set(store, why);
  run.warnings.push(`store ${store} gets no set of this run: ${why}`);
}
