import { join } from 'node:path';
import { runCommand } from '../system/command.ts';
import type { CommandOptions, CommandResult } from '../system/command.ts';
import type { Instant } from '../../model/plan.ts';

export interface ManagerOptions {
  /** In place of `systemctl`: an argument prefix that reaches another namespace. */
  readonly systemctl?: readonly string[];
  /** Of the user manager; absent: XDG_RUNTIME_DIR, or /run/user/<uid>. */
  readonly xdgRuntimeDir?: string;
}

/** One systemd manager: the system's, or the user's that this process runs as. */
export interface Manager {
  /** Where units live until a reboot. */
  readonly runtimeUnits: string;
  /** `systemctl …` as people type it, for hints. */
  readonly command: string;
  run(args: readonly string[], options?: CommandOptions): Promise<CommandResult>;
  /** The properties of each unit, in the order asked; a property that this systemd does not know is absent. */
  show(
    units: readonly string[],
    properties: readonly string[],
    signal?: AbortSignal,
  ): Promise<readonly Properties[]>;
}

export type Properties = Readonly<Record<string, string | undefined>>;

const showTimeoutMs = 30_000;

export function connectManager(kind: 'system' | 'user', options: ManagerOptions = {}): Manager {
  const argv = [...(options.systemctl ?? ['systemctl']), ...(kind === 'user' ? ['--user'] : [])];
  const runtime =
    options.xdgRuntimeDir ?? process.env['XDG_RUNTIME_DIR'] ?? `/run/user/${process.getuid?.() ?? 0}`;
  const env = {
    LC_ALL: 'C',
    TZ: 'UTC',
    SYSTEMD_COLORS: '0',
    ...(kind === 'user' ? { XDG_RUNTIME_DIR: runtime } : {}),
  };
  const run = (args: readonly string[], given: CommandOptions = {}): Promise<CommandResult> =>
    runCommand([...argv, '--no-pager', '--no-ask-password', ...args], { ...given, env });
  return {
    runtimeUnits: kind === 'user' ? join(runtime, 'systemd/user') : '/run/systemd/system',
    command: kind === 'user' ? 'systemctl --user' : 'systemctl',
    run,
    async show(units, properties, signal) {
      if (units.length === 0) return [];
      const { stdout } = await run(['show', `--property=${properties.join(',')}`, '--', ...units], {
        signal,
        timeoutMs: showTimeoutMs,
      });
      return stdout.trimEnd().split('\n\n').map(parseProperties);
    },
  };
}

/** Units named by a property such as RequiredBy. */
export function unitsOf(properties: Properties, name: string): readonly string[] {
  return (properties[name] ?? '').split(' ').filter((unit) => unit !== '');
}

/** A wall-clock property, whole seconds (`Sat 2026-11-21 07:44:24 UTC`: systemctl runs in UTC); null: never. */
export function instantOf(properties: Properties, name: string): Instant | null {
  const [, date, time] = /(\d{4}-\d{2}-\d{2}) (\d{2}:\d{2}:\d{2})/.exec(properties[name] ?? '') ?? [];
  return date === undefined || time === undefined ? null : `${date}T${time}.000Z`;
}

/** `1min 30s` as systemd prints time spans; `infinity` is Infinity, what is not understood is null. */
export function spanMs(text: string | undefined): number | null {
  if (text === 'infinity') return Infinity;
  const parts = (text ?? '').split(' ').map((part) => /^(\d+(?:\.\d+)?)([a-z]+)$/.exec(part));
  let sum = 0;
  for (const part of parts) {
    const unitMs = unitsMs[part?.[2] ?? ''];
    if (unitMs === undefined) return text === '0' ? 0 : null;
    sum += Number(part?.[1]) * unitMs;
  }
  return sum;
}

/** Of the main process: its exit code, or 128 + the signal that ended it; null: it never ran, or still does. */
export function exitStatusOf(properties: Properties): number | null {
  const code = Number(properties['ExecMainCode']);
  const status = Number(properties['ExecMainStatus']);
  if (code === exited) return status;
  return code === killed || code === dumped ? 128 + status : null;
}

/** si_code of waitid(2), as systemd passes it on. */
const exited = 1;
const killed = 2;
const dumped = 3;

const unitsMs: Readonly<Record<string, number>> = {
  us: 0.001,
  ms: 1,
  s: 1_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
  month: 2_629_800_000,
  y: 31_557_600_000,
};

function parseProperties(block: string): Properties {
  return Object.fromEntries(
    block.split('\n').map((line) => {
      const at = line.indexOf('=');
      return [line.slice(0, at), line.slice(at + 1)];
    }),
  );
}
