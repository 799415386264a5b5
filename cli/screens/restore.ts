import { restoredBy } from '../../model/plan.ts';
import type { RestoreReport } from '../../model/progress.ts';
import type { PlanAnswer } from '../../workflows/inspect.ts';
import { planScreen } from './plan.ts';
import { bytes, columns, plain, type Paint } from './text.ts';

/** What a restore would replace, when, and whether it may. */
export function restorePlanScreen({ plan, checks }: PlanAnswer, paint: Paint = plain): string {
  const [source] = restoredBy(plan.steps);
  const replaced = columns([
    [
      source?.targets.some(({ to }) => to !== undefined) === true ? 'makes' : 'replaces',
      'on',
      'with',
      'content',
    ],
    ...(source?.targets ?? []).flatMap(({ replaces, host, artifact, contentBytes }) =>
      replaces.map((path, index) => [
        ...[path, host, index === 0 ? artifact : ''],
        index === 0 ? bytes(contentBytes) : '',
      ]),
    ),
  ]);
  return [
    `${paint.bold(source?.set.id ?? '')} from ${source?.store ?? ''}`,
    replaced,
    planScreen(plan, checks, paint),
  ].join('\n\n');
}

/** What stays, where the old data is, and how to get rid of it. */
export function restoreText(restore: RestoreReport, paint: Paint = plain): string {
  const { set, store, committed, targets, compared } = restore;
  const aside = targets.flatMap((one) => one.aside.map((path) => ({ path, host: one.host })));
  if (!committed) return `${set.id} from ${store} was not restored: the data is as it was before`;
  return [
    columns([
      ['restored', 'on', 'content'],
      ...targets.flatMap(({ replaces, host, contentBytes }) =>
        replaces.map((path, index) => [path, host, index === 0 ? bytes(contentBytes) : '']),
      ),
    ]),
    ...(compared.length > 0
      ? [
          columns([
            ['compared', ''],
            ...compared.map(({ database, text }) => [
              database,
              text.startsWith('differs') ? paint.red(text) : text,
            ]),
          ]),
        ]
      : []),
    ...(aside.length > 0
      ? [
          [
            'What was there before is still there. When you need it no more:',
            ...aside.map(({ path, host }) => `  on ${host}: rm -r -- ${quoted(path)}`),
          ].join('\n'),
        ]
      : []),
  ].join('\n\n');
}

/** For a shell. */
function quoted(path: string): string {
  return /^[\w./:@%+=-]+$/.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`;
}
