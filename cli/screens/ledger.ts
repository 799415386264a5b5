import type { Entry } from '../../model/ledger.ts';
import type { Instant } from '../../model/plan.ts';
import type { LedgerAnswer } from '../../workflows/inspect.ts';
import { clockTime, type Clock } from '../../model/clock-text.ts';
import { columns, indented, plain, type Paint } from './text.ts';

/** What is down on each host, and for whom. */
export function ledgerScreen(answers: readonly LedgerAnswer[], now: Instant, paint: Paint = plain): string {
  return answers.map((answer) => hostText(answer, now, paint)).join('\n');
}

/** `service ingest-internal` */
export function changeName({ change }: Pick<Entry, 'change'>): string {
  switch (change.kind) {
    case 'service-stopped':
      return `service ${change.service}`;
    case 'balancer-stopped':
    case 'balancer-replaced':
      return `balancer of ${change.database}`;
    case 'snapshot-made':
      return `copy of ${change.member}`;
    case 'set-unpacked':
      return `${change.set.id} for ${change.member ?? change.database}`;
    case 'data-moved-aside':
      return `data of ${change.member ?? change.database}`;
  }
}

function hostText({ host, timezone, view, error }: LedgerAnswer, now: Instant, paint: Paint): string {
  const clock: Clock = { timezone, now };
  if (view === null) return `${paint.bold(host)}   ${paint.red('no answer')}: ${error ?? ''}`;
  const { held } = view;
  if (held === null) return `${paint.bold(host)}   free: nothing is held`;
  const { procedure, workflowId, night, upBy, entries, epoch } = held;
  const head = `${paint.bold(host)}   held by ${procedure}, night ${night}, up by ${clockTime(upBy, clock)} (${workflowId}, epoch ${epoch})`;
  if (entries.length === 0) return `${head}\n  nothing is down`;
  return `${head}\n${indented(columns(entries.map((entry) => entryRow(entry, clock))), '  ')}`;
}

function entryRow(entry: Entry, clock: Clock): readonly string[] {
  const since = `since ${clockTime(entry.endedAt ?? entry.intentAt, clock)}`;
  const [doing, done] = words[entry.change.kind];
  return [changeName(entry), entry.endedAt === null ? doing : done, since, foundWords(entry)];
}

const words: Readonly<Record<Entry['change']['kind'], readonly [string, string]>> = {
  'service-stopped': ['being stopped', 'stopped'],
  'balancer-stopped': ['being stopped', 'stopped'],
  'snapshot-made': ['being made', 'made'],
  'set-unpacked': ['being unpacked', 'unpacked'],
  'data-moved-aside': ['being replaced', 'replaced'],
  'balancer-replaced': ['off in the set', 'off in the set'],
};

function foundWords({ change, found }: Entry): string {
  if (change.kind === 'set-unpacked') return 'will be removed';
  if (found.kind === 'settings') return 'will be as the set says, once the restore is done';
  if (found.kind === 'data') return 'will be put back as found, unless the restore is done';
  if (found.kind === 'balancer') return 'will be put back as found';
  if (found.kind === 'snapshot') return 'will be removed';
  if (found.state === 'running') return 'found running';
  return change.kind === 'service-stopped' && change.startsOnceKept === true
    ? 'found stopped, will be started once the restore is done'
    : 'found stopped, stays stopped';
}
