import type { Check } from '../../model/progress.ts';
import { withClockTimes, type Clock } from '../../model/clock-text.ts';
import { columns, count, plain, type Paint } from './text.ts';

/** The go/no-go table; what is wrong comes last, next to the verdict. */
export function checksTable(checks: readonly Check[], clock: Clock, paint: Paint = plain): string {
  const sorted = [...checks].sort((a, b) => rank[a.verdict] - rank[b.verdict]);
  return columns(
    sorted.flatMap(({ host, subject, verdict, detail, hint }) => [
      [paintOf(verdict, paint)(verdict), host, subject, withClockTimes(detail, clock)],
      ...(hint === undefined ? [] : [['', '', '', `→ ${hint}`]]),
    ]),
  );
}

/** `go`, or what stands against it. */
export function verdictLine(checks: readonly Check[], paint: Paint = plain): string {
  const noGo = checks.filter(({ verdict }) => verdict === 'no-go').length;
  const warnings = checks.filter(({ verdict }) => verdict === 'warning').length;
  const but = warnings === 0 ? '' : `, ${count(warnings, 'warning')}`;
  return noGo === 0
    ? `${paint.green('go')}: ${count(checks.length, 'check')}${but}`
    : `${paint.red('no-go')}: ${noGo} of ${count(checks.length, 'check')}${but}. A run would end here, with nothing changed`;
}

const rank = { go: 0, warning: 1, 'no-go': 2 } as const;

function paintOf(verdict: Check['verdict'], paint: Paint): (text: string) => string {
  return { go: paint.green, warning: paint.yellow, 'no-go': paint.red }[verdict];
}
