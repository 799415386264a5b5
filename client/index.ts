/** The package: what a script imports. */
export { ColdbackupClient, type StartOptions } from './client.ts';
export type { ConnectOptions } from './link.ts';
export type { RunRef } from './reports.ts';
export type { RunSummary } from './runs.ts';
export type { WaitSeen, Watched, WatchOptions } from './watch.ts';
export {
  AlreadyRunningError,
  NoSuchRunError,
  QuestionError,
  RefusedError,
  RunLostError,
  UnreachableError,
} from './errors.ts';
export type { CopyProgress, LedgerView } from '../model/activities.ts';
export type { Manifest, SetRef, SetSummary, Verification } from '../model/manifest.ts';
export type { Plan } from '../model/plan.ts';
export type { Check, Outcome, Progress, Report } from '../model/progress.ts';
export type { HostAnswer, LedgerAnswer, PlanAnswer } from '../workflows/inspect.ts';
