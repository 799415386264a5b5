import type { Plan, PlanStep } from '../../model/plan.ts';
import type { Check, Progress } from '../../model/progress.ts';
import { checksTable, verdictLine } from './checks.ts';
import { clockTime, type Clock } from '../../model/clock-text.ts';
import { columns, plain, type Paint } from './text.ts';

/** What a run would do, when, and whether it may. */
export function planScreen(plan: Plan, checks: readonly Check[], paint: Paint = plain): string {
  const clock: Clock = { timezone: plan.timezone, now: plan.windowStart };
  const at = (instant: string) => clockTime(instant, clock);
  const restart = plan.restartAt === null ? 'when done' : at(plan.restartAt);
  return [
    `${paint.bold(`${plan.site}/${plan.procedure}`)}   night ${plan.night} · from ${at(plan.windowStart)} · restart ${restart} · up by ${at(plan.upBy)} (${plan.timezone})`,
    columns(plan.steps.flatMap((step) => stepRows(step, clock, ''))),
    ...(plan.warnings.length > 0
      ? [plan.warnings.map((warning) => paint.yellow(`note   ${warning}`)).join('\n')]
      : []),
    checksTable(checks, clock, paint),
    verdictLine(checks, paint),
  ].join('\n\n');
}

function stepRows(step: PlanStep, clock: Clock, indent: string): readonly string[][] {
  const row = [`${indent}${step.id}`, step.label, untilWords(step, clock)];
  if (step.kind !== 'parallel') return [row];
  return [
    row,
    ...step.branches.flatMap(({ steps }) => steps.flatMap((one) => stepRows(one, clock, `${indent}  `))),
  ];
}

function untilWords(step: PlanStep, clock: Clock): string {
  if (step.kind !== 'wait' || step.until === null) return '';
  const { otherwise } = step;
  const then =
    typeof otherwise === 'string'
      ? otherwise
      : `ask "${otherwise.ask}" until ${clockTime(otherwise.by, clock)}, else ${otherwise.else}`;
  return `until ${clockTime(step.until, clock)}, then ${then}`;
}

/** The longest that bringing back what is down may take: one service after the other. */
export function bringBackMs(plan: Plan, { down }: Progress): number {
  const services = new Set(down.map(({ service }) => service));
  return [...services].reduce((sum, service) => sum + (plan.timing[service]?.readyWithinMs ?? 0), 0);
}
