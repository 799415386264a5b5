import type { PlanBackup, PlanDatabase } from '../../model/plan.ts';
import { backupFiles } from '../engines/files.ts';
import { backupMongodb } from '../engines/mongodb.ts';
import type { Run } from '../run.ts';
import type { StepResult } from '../steps.ts';
import { together } from '../together.ts';

export interface BackupTarget {
  /** The step's id and the database: under it lie all changes and copies of this database. */
  readonly scope: string;
  readonly to: readonly string[];
  readonly step: string;
}

/** Databases side by side; one that fails ends the others: an incomplete set is not published. */
export async function backup(run: Run, step: PlanBackup): Promise<StepResult> {
  await together(
    step.databases.map((database) => () => {
      const scope = `${step.id}/${database.database}`;
      return backupOne(run, database, { scope, to: step.to, step: step.id });
    }),
  );
  return { outcome: 'done' };
}

function backupOne(run: Run, database: PlanDatabase, target: BackupTarget): Promise<void> {
  return database.engine === 'files'
    ? backupFiles(run, database, target)
    : backupMongodb(run, database, target);
}
