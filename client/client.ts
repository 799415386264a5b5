import type { Manifest, Proof, SetSummary, Verification } from '../model/manifest.ts';
import type { Plan } from '../model/plan.ts';
import type { Progress, Report } from '../model/progress.ts';
import type { Scheduled } from '../model/schedule.ts';
import type { Site } from '../model/site.ts';
import type { Listing } from '../workflows/chosen-set.ts';
import type { HostAnswer, LedgerAnswer, PlanAnswer, PruneAnswer } from '../workflows/inspect.ts';
import type { Drill } from '../model/drill.ts';
import type { DrillInput } from '../workflows/drill.ts';
import type { Decision, ProcedureInput } from '../workflows/messages.ts';
import type { RestoreInput } from '../workflows/restore-plan.ts';
import { decide, type Word, type WordInput } from './decide.ts';
import { drillResult, startDrill } from './drills.ts';
import { QuestionError, RefusedError } from './errors.ts';
import { openLink, type ConnectOptions, type Link } from './link.ts';
import { ask } from './questions.ts';
import { resultOf, type RunRef } from './reports.ts';
import { startRestore } from './restores.ts';
import { activeRun, recentRuns, type RunSummary } from './runs.ts';
import { applySchedules, type ApplyOptions, type ScheduleChange } from './schedule-apply.ts';
import {
  listSchedules,
  pauseSchedule,
  resumeSchedule,
  triggerSchedule,
  type ScheduleView,
} from './schedules.ts';
import { startRun } from './start.ts';
import { lookAt, planOfRun, progressOf, watchRun, type Watched, type WatchOptions } from './watch.ts';

/** `upBy`: by when all must be up, for a run outside its window. `again`: once more in the same night. */
export type StartOptions = Omit<ProcedureInput, 'site' | 'procedure'>;

/** Which of a procedure's schedules: its nights, unless told. */
export interface OfSchedule {
  readonly of?: Scheduled;
}

/**
 * What the command line does, for scripts. Runs are named by site and procedure; the procedure may be left out while one
 * run of the site is active. Where Temporal, control or an agent does not answer: UnreachableError.
 */
export class ColdbackupClient {
  readonly #link: Link;

  private constructor(link: Link) {
    this.#link = link;
  }

  /** As TEMPORAL_* and temporal.toml say, unless given here. */
  static async connect(options: ConnectOptions = {}): Promise<ColdbackupClient> {
    return new ColdbackupClient(await openLink(options));
  }

  async close(): Promise<void> {
    await this.#link.client.connection.close();
  }

  /** @throws AlreadyRunningError */
  start(site: string, procedure: string, options: StartOptions = {}): Promise<RunRef> {
    return startRun(this.#link, { ...options, site, procedure });
  }

  /** Waits for the end. Every outcome is a report; RunLostError: it was terminated, and none of its code ran. */
  result(run: RunRef, options: { readonly signal?: AbortSignal } = {}): Promise<Report> {
    return resultOf(this.#link, run, options.signal);
  }

  /** Starts, and waits for the end. */
  async run(site: string, procedure: string, options: StartOptions = {}): Promise<Report> {
    return this.result(await this.start(site, procedure, options));
  }

  /** @throws NoSuchRunError when none is active, or several are. */
  active(site: string, procedure?: string): Promise<RunRef & ProcedureInput> {
    return activeRun(this.#link, site, procedure);
  }

  async progress(site: string, procedure?: string): Promise<Progress> {
    return progressOf(this.#link, await this.active(site, procedure));
  }

  /** Of any run, also an ended one: as it stands now, with the copies under way. */
  look(run: RunRef): Promise<Watched & { readonly ended: boolean }> {
    return lookAt(this.#link, run);
  }

  /** What a run was resolved to; null: not yet. */
  planOf(run: RunRef): Promise<Plan | null> {
    return planOfRun(this.#link, run);
  }

  /** The active run, again and again until it has ended. */
  async *watch(site: string, procedure?: string, options: WatchOptions = {}): AsyncGenerator<Watched, void> {
    yield* this.follow(await this.active(site, procedure), options);
  }

  /** As `watch`, of a run that was started or found before. */
  follow(run: RunRef, options: WatchOptions = {}): AsyncGenerator<Watched, void> {
    return watchRun(this.#link, run, options);
  }

  /**
   * An operator's decision about the active run: abort, bringBack, pause, resume, skip, retry, answer, extend (see
   * workflows/messages.ts for what each does); gives what follows from it. @throws RefusedError with the run's reason.
   */
  async decide<W extends Word>(
    site: string,
    procedure: string | undefined,
    word: W,
    input: WordInput<W>,
  ): Promise<string> {
    return decide(this.#link, await this.active(site, procedure), word, input);
  }

  /** Ends the active run and brings all back; gives what is brought back. @throws RefusedError */
  abort(
    site: string,
    procedure: string | undefined,
    decision: Pick<Decision, 'by' | 'why'>,
  ): Promise<string> {
    return this.decide(site, procedure, 'abort', decision);
  }

  /** Running and ended, the newest first. */
  runs(site?: string, { limit = 20 }: { readonly limit?: number } = {}): Promise<readonly RunSummary[]> {
    return recentRuns(this.#link, site, limit);
  }

  schedules(): Promise<readonly ScheduleView[]> {
    return listSchedules(this.#link);
  }

  /** Makes the schedules equal to these parsed site files; tells what was done, or would be. */
  applySchedules(sites: readonly Site[], options: ApplyOptions = {}): Promise<readonly ScheduleChange[]> {
    return applySchedules(this.#link, sites, options);
  }

  /** @throws NoSuchScheduleError, RefusedError */
  pauseSchedule(
    site: string,
    procedure: string,
    { of: what = 'nights', ...decision }: Pick<Decision, 'by' | 'why'> & OfSchedule,
  ): Promise<void> {
    return pauseSchedule(this.#link, { site, procedure, what }, decision);
  }

  /** @throws NoSuchScheduleError, RefusedError */
  resumeSchedule(
    site: string,
    procedure: string,
    { of: what = 'nights', ...decision }: Pick<Decision, 'by'> & OfSchedule,
  ): Promise<void> {
    return resumeSchedule(this.#link, { site, procedure, what }, decision);
  }

  /** Starts tonight's run as the schedule would. @throws NoSuchScheduleError, RefusedError, AlreadyRunningError */
  triggerSchedule(
    site: string,
    procedure: string,
    { of: what = 'nights' }: OfSchedule = {},
  ): Promise<RunRef> {
    return triggerSchedule(this.#link, { site, procedure, what });
  }

  /** The resolved plan and its go/no-go table. @throws QuestionError for unknown names, or a run outside its window. */
  plan(site: string, procedure: string, options: Pick<StartOptions, 'upBy'> = {}): Promise<PlanAnswer> {
    return ask(this.#link, 'plan', { ...options, site, procedure });
  }

  hosts(site: string): Promise<readonly HostAnswer[]> {
    return ask(this.#link, 'hosts', { site });
  }

  /** What is down on each host, and why, from the journals. */
  ledger(site: string): Promise<readonly LedgerAnswer[]> {
    return ask(this.#link, 'ledger', { site });
  }

  /** The newest first, of the stores that answer; `listing` also says which do not. @throws QuestionError when none does. */
  async sets(site: string, procedure?: string): Promise<readonly SetSummary[]> {
    return (await this.listing(site, { ...(procedure !== undefined && { procedure }) })).sets;
  }

  /** What the stores hold, and which could not be asked. @throws QuestionError when none answers. */
  listing(
    site: string,
    options: { readonly procedure?: string; readonly store?: string } = {},
  ): Promise<Listing> {
    return ask(this.#link, 'sets', { ...options, site });
  }

  /** `id`: of a set, or the beginning of one. @throws QuestionError when it is not there. */
  async setShow(site: string, id: string, options: { readonly store?: string } = {}): Promise<Manifest> {
    const { set, store } = await this.#setNamed(site, id, options.store);
    return ask(this.#link, 'setShow', { site, store, set });
  }

  /** Reads every byte again; with `mend` what is damaged is replaced by good copies of other stores. */
  async setVerify(
    site: string,
    id: string,
    options: { readonly store?: string; readonly mend?: boolean } = {},
  ): Promise<readonly Verification[]> {
    const { set, store } = await this.#setNamed(site, id, options.store);
    return ask(this.#link, 'setVerify', { site, store, set, mend: options.mend ?? false });
  }

  /** What retention lets go in each store, and why the rest stays; without `dryRun` it goes. */
  prune(
    site: string,
    options: { readonly procedure?: string; readonly store?: string; readonly dryRun?: boolean } = {},
  ): Promise<readonly PruneAnswer[]> {
    return ask(this.#link, 'prune', { dryRun: false, ...options, site });
  }

  /**
   * Removes a set from the one store that has it, or that is named, whatever retention says; with `dryRun` it is only asked
   * whether it may. `problems`: where a part of it is still. @throws RefusedError with each reason, and what to do.
   */
  async setRemove(
    site: string,
    id: string,
    decision: Pick<Decision, 'by' | 'why'>,
    { store: named, dryRun = false }: { readonly store?: string; readonly dryRun?: boolean } = {},
  ): Promise<{ readonly set: SetSummary; readonly problems: readonly string[] }> {
    const set = await this.#setNamed(site, id, named, { inOneStore: true });
    const { store } = set;
    const { refused, problems } = await ask(this.#link, 'setRemove', {
      ...{ site, store, set: set.set, dryRun },
      ...decision,
    });
    if (refused.length === 0) return { set, problems };
    throw new RefusedError(`set ${set.set.id} is not removed from ${store}: ${refused.join('; ')}`);
  }

  /** A pinned set is never removed; gives its whole id. */
  async setPin(
    site: string,
    id: string,
    pin: Pick<Decision, 'by' | 'why'> | null,
    options: { readonly store?: string } = {},
  ): Promise<string> {
    const { set, store } = await this.#setNamed(site, id, options.store);
    await ask(this.#link, 'setPin', { site, store, set, pin });
    return set.id;
  }

  /** The drills of a set, the newest first. */
  async setProofs(
    site: string,
    id: string,
    options: { readonly store?: string } = {},
  ): Promise<readonly Proof[]> {
    const { set, store } = await this.#setNamed(site, id, options.store);
    return ask(this.#link, 'setProofs', { site, store, set });
  }

  /** Of all sets that are there, the newest first. */
  drills(site: string): Promise<readonly Drill[]> {
    return ask(this.#link, 'drills', { site });
  }

  /**
   * Starts a drill: a set is restored into scratch instances and compared. One at a time for each site.
   * @throws AlreadyRunningError
   */
  startDrill(input: DrillInput): Promise<RunRef> {
    return startDrill(this.#link, input);
  }

  /** Waits for its end; passed or not, it is a proof. @throws RefusedError when it could not be carried out. */
  drillResult(drill: RunRef): Promise<Drill> {
    return drillResult(this.#link, drill);
  }

  /** What a restore would replace, and its go/no-go table; changes nothing. @throws QuestionError */
  restorePlan(input: Omit<RestoreInput, 'by' | 'why'>): Promise<PlanAnswer> {
    return ask(this.#link, 'restorePlan', input);
  }

  /**
   * Starts a restore: the data is replaced by what is in the set, and moved aside. Followed, decided about and waited for
   * as any other run. @throws AlreadyRunningError
   */
  startRestore(input: RestoreInput): Promise<RunRef> {
    return startRestore(this.#link, input);
  }

  async #setNamed(
    site: string,
    id: string,
    store?: string,
    { inOneStore = false } = {},
  ): Promise<SetSummary> {
    const { sets, failed } = await this.listing(site, { ...(store !== undefined && { store }) });
    const matching = sets.filter(
      (summary) => summary.set.id.startsWith(id) && (store === undefined || summary.store === store),
    );
    const exact = matching.filter(({ set }) => set.id === id);
    const ids = new Set(matching.map(({ set }) => set.id));
    const [found] = exact.length > 0 ? exact : matching;
    if (found !== undefined && (exact.length > 0 || ids.size === 1)) {
      const stores = matching.flatMap((one) => (one.set.id === found.set.id ? [one.store] : []));
      if (!inOneStore || stores.length === 1) return found;
      throw new QuestionError(
        `set ${found.set.id} is in ${stores.join(', ')}: say which is meant (--store)`,
        {
          badInput: true,
        },
      );
    }
    const known = [...(ids.size > 1 ? ids : new Set(sets.map(({ set }) => set.id)))].slice(0, 10);
    throw new QuestionError(
      ids.size > 1
        ? `"${id}" begins ${ids.size} sets: ${known.join(', ')}`
        : [
            `no set "${id}"${store === undefined ? '' : ` in ${store}`}; ${site} has: ${known.join(', ') || 'none'}`,
            ...failed.map((one) => `store ${one.store} could not be asked: ${one.why}`),
          ].join('; '),
      { badInput: true },
    );
  }
}
