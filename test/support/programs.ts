import { locate, type ProgramName } from '#components';

/** How a program of the set-up is run. Throws, with what to do, when it is not there. */
export function commandOf(name: ProgramName): string[] {
  const found = locate(name);
  if (found) return found.command;
  throw new Error(`${name} is not there. What to do: node scripts/setup.mjs --for test`);
}
