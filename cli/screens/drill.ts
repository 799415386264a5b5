import type { Drill } from '../../model/drill.ts';
import type { ArtifactProof, Proof, SetSummary } from '../../model/manifest.ts';
import { bytes, columns, count, exactly, plain, type Paint } from './text.ts';

/** What a drill found, and how long a restore takes at least. */
export function drillScreen({ set, store, proof, warnings = [] }: Drill, paint: Paint = plain): string {
  const { artifacts, checks, problems, notCompared } = proof;
  const notes = [...notCompared, ...warnings];
  return [
    `${paint.bold(set.id)}   ${set.site}/${set.procedure} · store ${store} · ${proof.passed ? paint.green('proven') : paint.red('NOT PROVEN')}`,
    columns([
      ['artifact', 'host', 'content', 'files', 'unpack', 'open', 'compare', 'opened by'],
      ...artifacts.map(({ artifact, host, contentBytes, files, server, tookMs }) => [
        ...[artifact, host, bytes(contentBytes), String(files)],
        ...[tookMs.unpack, tookMs.open, tookMs.compare].map((ms) => (ms === 0 ? '-' : exactly(ms))),
        server === null ? '-' : `mongod ${server}`,
      ]),
    ]),
    ...(checks.length > 0
      ? [
          columns([
            ['check', 'answer', ''],
            ...checks.map(({ what, found, passed }) => [
              what,
              found,
              passed ? 'ok' : paint.red('not as expected'),
            ]),
          ]),
        ]
      : []),
    ...(notes.length > 0 ? [notes.map((one) => paint.yellow(`note   ${one}`)).join('\n')] : []),
    ...(problems.length > 0
      ? [[paint.red(count(problems.length, 'problem')), ...problems.map((one) => `  ${one}`)].join('\n')]
      : []),
    `a restore takes at least ${exactly(restoreMs(proof))}: unpacked and opened, one after the other`,
  ].join('\n\n');
}

/** `proven 2026-11-21`, `FAILED 2026-11-21`, or nothing. */
export function proofWords(proof: SetSummary['proof'], paint: Paint = plain): string {
  if (proof === undefined) return '-';
  const day = proof.at.slice(0, 10);
  return proof.passed ? `proven ${day}` : paint.red(`FAILED ${day}`);
}

/** The drills of a set, the newest first: what a restore took, as a trend. */
export function proofsTable(proofs: readonly Proof[], paint: Paint = plain): string {
  return columns([
    ['drill', 'outcome', 'unpacked and opened in', 'compared in', ''],
    ...proofs.map((proof) => [
      proof.at,
      proof.passed ? 'proven' : paint.red('FAILED'),
      exactly(restoreMs(proof)),
      exactly(tookMs(proof, 'compare')),
      [...proof.problems.slice(0, 1), ...(proof.passed ? proof.notCompared.slice(0, 1) : [])].join(''),
    ]),
  ]);
}

/**
 * The drills of all sets that are there, the newest first: what a restore would take, as a trend. Each is held against those of the
 * same procedure and store that passed before it: what failed may have ended early.
 */
export function drillsScreen(drills: readonly Drill[], paint: Paint = plain): string {
  if (drills.length === 0) return 'no drills of the sets that are there';
  return columns([
    ['drill', 'procedure', 'set', 'store', 'outcome', 'content', 'unpack', 'open', 'a restore', ''],
    ...drills.map(({ set, store, proof }, index) => {
      const earlier = drills
        .slice(index + 1)
        .filter((one) => one.set.procedure === set.procedure && one.store === store && one.proof.passed);
      const { artifacts, passed } = proof;
      const content = artifacts.reduce((sum, { contentBytes }) => sum + contentBytes, 0);
      return [
        ...[`${proof.at.slice(0, 16)}Z`, set.procedure, set.id, store],
        passed ? 'proven' : paint.red('FAILED'),
        ...[bytes(content), exactly(tookMs(proof, 'unpack')), exactly(tookMs(proof, 'open'))],
        exactly(restoreMs(proof)),
        passed
          ? change(
              restoreMs(proof),
              earlier.map((one) => restoreMs(one.proof)),
            )
          : '',
      ];
    }),
  ]);
}

/** `+12 % (median of 4 before: 8.6 s)`; of no earlier one nothing. */
function change(ms: number, earlier: readonly number[]): string {
  const ordered = [...earlier].sort((one, other) => one - other);
  const [low, high] = [ordered[(ordered.length - 1) >> 1], ordered[ordered.length >> 1]];
  if (low === undefined || high === undefined) return '';
  const median = (low + high) / 2;
  const percent = Math.round((ms / Math.max(1, median) - 1) * 100);
  return `${percent > 0 ? '+' : ''}${percent} % (median of ${ordered.length} before: ${exactly(median)})`;
}

function tookMs({ artifacts }: Proof, phase: keyof ArtifactProof['tookMs']): number {
  return artifacts.reduce((sum, one) => sum + one.tookMs[phase], 0);
}

function restoreMs(proof: Proof): number {
  return tookMs(proof, 'unpack') + tookMs(proof, 'open');
}
