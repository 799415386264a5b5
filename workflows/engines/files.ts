import type { PlanFiles } from '../../model/plan.ts';
import { artifactName, snapshotScope, type Archive, type BackupTarget } from '../backup-target.ts';
import { attest, copyOnHost, copyTo } from '../copy.ts';
import { closeScope } from '../ledger.ts';
import type { Run } from '../run.ts';

/** A cold copy of trees whose writers were stopped earlier in the run. */
export async function backupFiles(run: Run, plan: PlanFiles, target: BackupTarget): Promise<Archive | null> {
  const { database, host } = plan;
  const artifact = artifactName(target, `${database}/files`);
  const scope = snapshotScope(target);
  const change = await copyOnHost(run, target, plan, { host, position: `${scope}/files` });
  if (change === null) await copyTo(run, target, { host, source: { kind: 'files', database }, artifact });
  await attest(run, plan);
  target.databases.push({ engine: 'files', database });
  if (change === null) return null;
  return async () => {
    await copyTo(run, target, { host, source: { kind: 'snapshot', database, change }, artifact, scope });
    await closeScope(run, scope);
  };
}
