import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { run } from './run.mjs';

const project = new URL('../../', import.meta.url);

/**
 * Whether node_modules is what package-lock.json asks for. npm leaves a lock file of its own there when it has ended
 * well; packages for other platforms are in the first and not in the second.
 */
export function hasNodeModules() {
  const wanted = lockedPackages('package-lock.json');
  const there = lockedPackages('node_modules/.package-lock.json');
  if (!wanted || !there) return false;
  return Object.entries(wanted).every(([path, { version, optional, devOptional }]) => {
    if (path === '') return true;
    return there[path] ? there[path].version === version : Boolean(optional || devOptional);
  });
}

export async function installNodeModules() {
  await run(['npm', 'ci', '--no-audit', '--no-fund'], {
    cwd: fileURLToPath(project),
    hint: 'look at what npm says above; `npm ci` in the project folder must succeed',
  });
}

function lockedPackages(file) {
  try {
    return JSON.parse(readFileSync(new URL(file, project), 'utf8')).packages;
  } catch {
    return undefined;
  }
}
