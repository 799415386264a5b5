import type { ScheduleChange } from '../../client/schedule-apply.ts';
import type { ScheduleView } from '../../client/schedules.ts';
import { nameOfSchedule } from '../../model/schedule.ts';
import { clockTime, type Clock } from '../../model/clock-text.ts';
import { columns, count, plain, type Paint } from './text.ts';

export function schedulesScreen(
  schedules: readonly ScheduleView[],
  now: Clock['now'],
  paint: Paint = plain,
): string {
  if (schedules.length === 0) return 'no schedules. Make them: coldbackup schedule apply SITES';
  return columns([
    ['schedule', 'starts', 'next', 'last', 'state'],
    ...schedules.map((schedule) => {
      const { timezone, starts, next, last, ...rest } = schedule;
      const at = (instant: string | undefined) =>
        instant === undefined ? '-' : clockTime(instant, { timezone, now });
      return [
        nameOfSchedule(schedule),
        `${starts.join('; ')} ${timezone}`,
        rest.paused === null ? at(next ?? undefined) : '-',
        at(last?.startedAt),
        stateOf(rest, paint),
      ];
    }),
  ]);
}

function stateOf(
  { paused, changedByHand, missed }: Pick<ScheduleView, 'paused' | 'changedByHand' | 'missed'>,
  paint: Paint,
): string {
  return [
    paused === null ? paint.green('active') : paint.yellow(`paused: ${paused}`),
    ...(changedByHand ? [paint.yellow('changed by hand')] : []),
    ...(missed > 0 ? [`${missed} missed`] : []),
  ].join(', ');
}

/** What was done, or would be; nothing is said of what is as the files say, but that it is paused. */
export function scheduleChangesScreen(
  changes: readonly ScheduleChange[],
  dryRun: boolean,
  paint: Paint = plain,
): string {
  const same = changes.filter(({ change }) => change === 'same');
  const told = changes.filter(({ change }) => change !== 'same');
  return [
    ...told.map((one) => changeText(one, dryRun, paint)),
    ...same
      .filter(({ paused }) => paused !== null)
      .map(({ id, paused }) => paint.yellow(`  ${id} is paused: ${paused ?? ''}`)),
    summary(told, same.length, dryRun),
  ].join('\n');
}

function changeText(one: ScheduleChange, dryRun: boolean, paint: Paint): string {
  const { id, change, differences, changedByHand, paused } = one;
  const notes = [
    ...(changedByHand ? ['changed by hand since it was applied'] : []),
    ...(paused === null ? [] : [`paused: ${paused}`]),
  ];
  const words = {
    same: '',
    create: dryRun ? 'to be created' : 'created',
    change: dryRun ? 'to be changed' : 'changed',
    delete: dryRun ? 'to be deleted' : 'deleted',
    'other-site': 'left alone: its site is not in these files (--prune deletes it)',
    'not-ours': 'left alone: somebody else made a schedule of this id. Delete or rename it',
  }[change];
  return [
    `${marks[change]} ${paint.bold(id)}  ${[words, ...notes].join('; ')}`,
    ...differences.flatMap(({ what, found, wanted }) => [
      ...shortened(found).map((value) => paint.red(`    - ${what}: ${value}`)),
      ...shortened(wanted).map((value) => paint.green(`    + ${what}: ${value}`)),
    ]),
  ].join('\n');
}

const marks = {
  same: ' ',
  create: '+',
  change: '~',
  delete: '-',
  'other-site': '!',
  'not-ours': '!',
} as const;
const mostLines = 8;

/** Clock changes of ten years are many lines. */
function shortened(values: readonly string[]): readonly string[] {
  const lines = values.map((value) => value.split('\n')[0] ?? '');
  return lines.length <= mostLines
    ? lines
    : [...lines.slice(0, mostLines - 1), `and ${lines.length - mostLines + 1} more`];
}

function summary(told: readonly ScheduleChange[], same: number, dryRun: boolean): string {
  const parts = (['create', 'change', 'delete'] as const).flatMap((change) => {
    const many = told.filter((one) => one.change === change).length;
    return many === 0 ? [] : [`${many} ${dryRun ? 'to ' : ''}${change}${dryRun ? '' : 'd'}`];
  });
  const as = `${count(same, 'schedule')} as the files say`;
  return [...parts, as].join(', ');
}
