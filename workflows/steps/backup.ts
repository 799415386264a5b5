import { CancellationScope, isCancellation } from '@temporalio/workflow';
import type { PlanBackup, PlanDatabase } from '../../model/plan.ts';
import { snapshotScope, type Archive, type BackupTarget } from '../backup-target.ts';
import { backupFiles } from '../engines/files.ts';
import { backupMongodb } from '../engines/mongodb.ts';
import { storesLeft } from '../copy.ts';
import { closeScope } from '../ledger.ts';
import { leaveOut, type Run, type StepResult } from '../run.ts';
import { together } from '../together.ts';

/**
 * Databases side by side; one that fails ends the others: an incomplete set is not published. What was copied on its
 * host is archived when the steps are done and all that they stopped is on its way back.
 */
export async function backup(run: Run, step: PlanBackup, attempt: number): Promise<StepResult> {
  const failed = new Map(step.to.flatMap((store) => known(run, store)));
  const wanted = step.databases.map((database) => ({
    database,
    target: targetOf(step, database, attempt, failed),
  }));
  storesLeft({ to: step.to, failed });
  const archives = new Map<BackupTarget, Archive>();
  try {
    await together(
      wanted.map(({ database, target }) => async () => {
        const archive = await backupOne(run, database, target);
        if (archive !== null) archives.set(target, archive);
      }),
    );
  } catch (error) {
    if (goesOn(run, step, error))
      await CancellationScope.nonCancellable(() =>
        Promise.all(
          wanted
            .flatMap(({ database, target }) => scopesOf(database, target))
            .map((scope) => closeScope(run, scope)),
        ),
      );
    throw error;
  }
  const end = () => addToSet(run, step, wanted, failed);
  if (archives.size === 0) return end();
  const rest = async (): Promise<StepResult> => {
    await together(
      [...archives].map(
        ([target, archive]) =>
          () =>
            archiveOne(archives, target, archive),
      ),
    );
    return end();
  };
  return { outcome: 'done', rest };
}

/** Of one that fails nothing is in the set; those that are done are not done again. */
async function archiveOne(
  archives: Map<BackupTarget, Archive>,
  target: BackupTarget,
  archive: Archive,
): Promise<void> {
  const before = target.artifacts.length;
  try {
    await archive();
    archives.delete(target);
  } catch (error) {
    target.artifacts.splice(before);
    throw error;
  }
}

function addToSet(
  run: Run,
  step: PlanBackup,
  wanted: readonly { readonly target: BackupTarget }[],
  failed: Map<string, string>,
): StepResult {
  const left = storesLeft({ to: step.to, failed });
  for (const { target } of wanted) {
    run.artifacts.push(...target.artifacts.filter(({ store }) => left.includes(store)));
    run.databases.push(...target.databases);
  }
  for (const [store, why] of failed) leaveOut(run, store, why);
  const out = step.to.filter((store) => !left.includes(store));
  return { outcome: 'done', ...(out.length > 0 && { detail: `not in ${out.join(', ')}` }) };
}

/** It has failed before in this run. */
function known(run: Run, store: string): readonly (readonly [string, string])[] {
  const why = run.storesFailed.get(store);
  return why === undefined ? [] : [[store, why]];
}

function scopesOf(database: PlanDatabase, target: BackupTarget): readonly string[] {
  return [target.scope, ...(database.copyBy === undefined ? [] : [snapshotScope(target)])];
}

/** A scope that was closed stays closed: each attempt has its own. */
function targetOf(
  step: PlanBackup,
  { database }: PlanDatabase,
  attempt: number,
  failed: Map<string, string>,
): BackupTarget {
  const scope = attempt === 1 ? `${step.id}/${database}` : `${step.id}/${database}~${attempt}`;
  const { to, needs, id } = step;
  return {
    ...{ scope, attempt, to, failed, step: id, artifacts: [], databases: [] },
    ...(needs !== undefined && { needs }),
  };
}

/** Skipped, or asked about: what it stopped must not stay down for that. Else all is brought back at once. */
function goesOn(run: Run, step: PlanBackup, error: unknown): boolean {
  return run.skips.has(step.id) || (step.onFailure === 'ask' && !isCancellation(error));
}

/** @returns what makes the archive of copies on the hosts; null: the archive is made. */
function backupOne(run: Run, database: PlanDatabase, target: BackupTarget): Promise<Archive | null> {
  return database.engine === 'files'
    ? backupFiles(run, database, target)
    : backupMongodb(run, database, target);
}
