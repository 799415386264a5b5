import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** A file of the checkout, wherever this code runs from: the sources or dist/. */
export function checkoutPath(path: string): string {
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'package.json'))) return join(folder, path);
    if (folder === dirname(folder)) throw new Error(`no package.json above ${import.meta.dirname}`);
  }
}

/** A program of the demo, to be run by this node: built beside this file. */
export function programPath(name: string): string {
  return join(import.meta.dirname, `${name}.js`);
}
