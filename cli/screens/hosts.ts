import type { HostAnswer } from '../../workflows/inspect.ts';
import { columns, exactly, plain, type Paint } from './text.ts';

export function hostsScreen(answers: readonly HostAnswer[], paint: Paint = plain): string {
  return columns([
    ['host', 'agent', 'version', 'site file', 'clock'],
    ...answers.map(({ host, alive, version, digest, clockOffMs, error }) =>
      alive
        ? [
            ...[host, paint.green('alive'), version ?? ''],
            digest === 'differs' ? paint.red("differs from control's") : 'same',
            clockOffMs === null || clockOffMs < 1 ? 'same' : `off by ${exactly(clockOffMs)}`,
          ]
        : [host, paint.red('no answer'), '', '', error ?? ''],
    ),
  ]);
}
