import { pathToFileURL } from 'node:url';
import type { Located, ProgramName } from '../scripts/components.mjs';
import { checkoutPath } from './checkout.ts';

// The set-up script runs before anything is built: it is never part of dist/.
const components = pathToFileURL(checkoutPath('scripts/components.mjs')).href;
const { locate } = (await import(components)) as { locate: (name: ProgramName) => Located | undefined };

/** How a program of the set-up is run: the start of its argument vector. Throws, with what to do, when it is not there. */
export function program(name: 'mongod' | 'mongod-native' | 'mongos' | 'temporal'): string[] {
  const found = locate(name);
  if (found) return found.command;
  throw new Error(`${name} is not there. What to do: node scripts/setup.mjs --for demo`);
}
