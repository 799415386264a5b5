/** The package: what a script imports. */
export { ColdbackupClient, type StartOptions } from './client.ts';
export type { ConnectOptions } from './link.ts';
export type { Word, WordInput } from './decide.ts';
export type { RunRef } from './reports.ts';
export type { ApplyOptions, ScheduleChange } from './schedule-apply.ts';
export type { FactDifference } from './schedule-facts.ts';
export type { ScheduleView } from './schedules.ts';
export type { RunSummary } from './runs.ts';
export type { WaitSeen, Watched, WatchOptions } from './watch.ts';
export {
  AlreadyRunningError,
  NoSuchRunError,
  NoSuchScheduleError,
  QuestionError,
  RefusedError,
  RunLostError,
  UnreachableError,
} from './errors.ts';
export type { CopyProgress, LedgerView } from '../model/activities.ts';
export type { Drill } from '../model/drill.ts';
export type { Manifest, Proof, SetRef, SetSummary, Verification } from '../model/manifest.ts';
export type { Plan } from '../model/plan.ts';
export type {
  Check,
  DecisionRecord,
  Outcome,
  Progress,
  Question,
  Report,
  RestoreReport,
} from '../model/progress.ts';
export type { Site } from '../model/site.ts';
export type { HostAnswer, LedgerAnswer, PlanAnswer, PruneAnswer } from '../workflows/inspect.ts';
export type { DrillInput } from '../workflows/drill.ts';
export type { RestoreInput } from '../workflows/restore-plan.ts';
