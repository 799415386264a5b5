import type { Drill } from '../../workflows/drill.ts';
import type { Proof, SetSummary } from '../../model/manifest.ts';
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
      exactly(proof.artifacts.reduce((sum, { tookMs }) => sum + tookMs.compare, 0)),
      [...proof.problems.slice(0, 1), ...(proof.passed ? proof.notCompared.slice(0, 1) : [])].join(''),
    ]),
  ]);
}

function restoreMs({ artifacts }: Proof): number {
  return artifacts.reduce((sum, { tookMs }) => sum + tookMs.unpack + tookMs.open, 0);
}
