import * as local from '../../demo/local/temporal.ts';
import { commandOf } from './programs.ts';

export type { DevServer } from '../../demo/local/temporal.ts';

/** A Temporal development server of the set-up. See `startDevServer` of demo/local/temporal.ts. */
export function startDevServer(
  options: Omit<local.DevServerOptions, 'command'> = {},
): Promise<local.DevServer> {
  return local.startDevServer({ ...options, command: commandOf('temporal') });
}
