import type { PlanFiles } from '../../model/plan.ts';
import { attest, copyTo } from '../copy.ts';
import type { Run } from '../run.ts';
import { artifactName, type BackupTarget } from '../steps/backup.ts';

/** A cold copy of trees whose writers were stopped earlier in the run. */
export async function backupFiles(run: Run, plan: PlanFiles, target: BackupTarget): Promise<void> {
  const { database, host } = plan;
  await copyTo(run, target, {
    host,
    source: { kind: 'files', database },
    artifact: artifactName(target, `${database}/files`),
  });
  await attest(run, plan);
  target.databases.push({ engine: 'files', database });
}
