import type { PruneAnswer } from '../../workflows/inspect.ts';
import type { Manifest, Proof, SetRef, SetSummary, Verification } from '../../model/manifest.ts';
import { proofWords, proofsTable } from './drill.ts';
import { decisionsTable } from './report.ts';
import { bytes, columns, count, exactly, plain, type Paint } from './text.ts';

export function setsScreen(sets: readonly SetSummary[], paint: Paint = plain): string {
  if (sets.length === 0) return 'no sets';
  return columns([
    ['set', 'procedure', 'night', 'store', 'size', 'artifacts', 'read again', 'drill'],
    ...sets.map(({ set, format, night, store, sizeBytes, artifacts, complete, ...rest }) =>
      format === 1
        ? [
            set.id,
            set.procedure,
            night,
            store,
            bytes(sizeBytes),
            [
              String(artifacts),
              ...(complete ? [] : ['incomplete']),
              ...(rest.verified?.passed === false ? [paint.red('DAMAGED')] : []),
              ...(rest.verified?.mended === true ? [paint.yellow('mended')] : []),
              ...(rest.pinned === undefined ? [] : [`pinned: ${rest.pinned}`]),
              ...(rest.uses ?? []).map(({ what }) => `in use: ${what}`),
              ...(rest.doubt === undefined ? [] : [paint.red(rest.doubt)]),
            ].join(', '),
            rest.verified?.at.slice(0, 10) ?? '-',
            proofWords(rest.proof, paint),
          ]
        : [
            ...[set.id, set.procedure, night, store, ''],
            rest.unreadable === undefined
              ? `format ${format}: made by a later version`
              : paint.red('manifest cannot be read'),
            rest.verified?.at.slice(0, 10) ?? '',
            '',
          ],
    ),
  ]);
}

/** Of each set why it stays or goes, and what is cleared that never was one. */
export function pruneScreen(
  answers: readonly PruneAnswer[],
  { dryRun }: { readonly dryRun: boolean },
  paint: Paint = plain,
): string {
  const rows = answers.flatMap(({ explained, removed }) =>
    explained.flatMap(({ verdicts }) =>
      verdicts.map((verdict) => ({
        ...verdict,
        isGone: !verdict.stays && (dryRun || removed.some((set) => isSame(set, verdict.set.set))),
      })),
    ),
  );
  const remains = answers.flatMap(({ store, explained }) =>
    explained.flatMap(({ remains = [] }) => remains.map((one) => ({ ...one, store }))),
  );
  const problems = answers.flatMap(({ store, explained, problems }) => [
    ...explained.flatMap(({ procedure, doubt }) =>
      doubt === undefined ? [] : [`nothing of ${procedure} in ${store}: ${doubt}`],
    ),
    ...problems,
  ]);
  const told = problems.map((problem) => paint.red(`not removed: ${problem}`));
  if (rows.length === 0 && remains.length === 0) return ['no sets', ...told].join('\n\n');
  const gone = rows.filter(({ isGone }) => isGone);
  const cleared = remains.filter(({ stays }) => !stays).length;
  const size = bytes(gone.reduce((sum, { set }) => sum + set.sizeBytes, 0));
  const goes = dryRun ? 'would go' : 'gone';
  const staying = rows.length - gone.length;
  return [
    columns([
      ['set', 'procedure', 'store', 'size', '', 'because'],
      ...rows.map(({ set: { set, store, sizeBytes }, isGone, because }) => [
        ...[set.id, set.procedure, store, bytes(sizeBytes)],
        ...[isGone ? goes : 'stays', because.join(', ')],
      ]),
      ...remains.map(({ set, store, stays, because }) => [
        ...[set.id, set.procedure, store, 'no set'],
        ...[stays ? 'stays' : goes, because.join(', ')],
      ]),
    ]),
    `${count(staying, 'set')} ${staying === 1 ? 'stays' : 'stay'}, ${gone.length} ${goes} (${size})` +
      (cleared === 0 ? '' : `; of ${count(cleared, 'run')} that published nothing the remains ${goes}`),
    ...told,
  ].join('\n\n');
}

function isSame(one: SetRef, other: SetRef): boolean {
  return one.procedure === other.procedure && one.id === other.id;
}

export function setScreen(manifest: Manifest, proofs: readonly Proof[], paint: Paint = plain): string {
  const { set, night, startedAt, publishedAt, artifacts, steps, decisions, warnings, complete } = manifest;
  return [
    `${paint.bold(set.id)}   ${set.site}/${set.procedure} · night ${night} · published ${publishedAt}${complete ? '' : ' · incomplete'}`,
    columns([
      ['artifact', 'host', 'size', 'content', 'files', 'sha256'],
      ...artifacts.map(({ name, host, sizeBytes, contentBytes, files, sha256 }) => [
        ...[name, host, bytes(sizeBytes), bytes(contentBytes), String(files), sha256.slice(0, 16)],
      ]),
    ]),
    `${count(artifacts.length, 'artifact')}, ${bytes(artifacts.reduce((sum, { sizeBytes, fileList }) => sum + sizeBytes + fileList.sizeBytes, 0))} with their lists of files; ` +
      `${count(steps.length, 'step')}; published ${exactly(Date.parse(publishedAt) - Date.parse(startedAt))} after the start`,
    ...(proofs.length > 0 ? [proofsTable(proofs, paint)] : ['no drill has proven it yet']),
    ...(decisions.length > 0 ? [decisionsTable(decisions)] : []),
    ...warnings.map((warning) => `note   ${warning}`),
  ].join('\n\n');
}

export function verificationScreen(verifications: readonly Verification[], paint: Paint = plain): string {
  const problems = verifications.flatMap((one) => one.problems);
  const checked = verifications.reduce((sum, { checkedBytes }) => sum + checkedBytes, 0);
  const artifacts = verifications.reduce((sum, one) => sum + one.artifacts, 0);
  const read = `${count(artifacts, 'artifact')}, ${bytes(checked)} read`;
  const storedOnly = verifications.reduce((sum, one) => sum + (one.storedOnly?.length ?? 0), 0);
  const notRead =
    storedOnly === 0
      ? []
      : [
          `${count(storedOnly, 'artifact')} encrypted: checked as stored; what is inside can be read where the identity is`,
        ];
  const mended = verifications.flatMap((one) => one.mended ?? []).map((one) => `  mended: ${one}`);
  if (problems.length === 0)
    return [`${paint.green('every digest is right')}: ${read}`, ...mended, ...notRead].join('\n');
  return [
    paint.red(`${count(problems.length, 'problem')}: ${read}`),
    ...problems.map((one) => `  ${one}`),
    ...mended,
    ...notRead,
  ].join('\n');
}
