import { lstat, mkdir, readdir, realpath, rmdir } from 'node:fs/promises';
import { posix } from 'node:path';
import type { Check } from '../../model/progress.ts';
import type { HostName, Site } from '../../model/site.ts';
import { refuse } from '../ledger/refusals.ts';
import { lookAt } from './files.ts';

type Row = Omit<Check, 'host' | 'subject'>;

/** `<restore-to>/<name>/<artifact>`: an artifact is unpacked there to be looked at. Throws where the site file does not allow it. */
export function lookRoot(site: Site, host: HostName, to: string): string {
  const { restoreTo } = site;
  const isBelow = restoreTo !== undefined && posix.dirname(to).startsWith(`${restoreTo}/`);
  if (isBelow && posix.isAbsolute(to) && posix.normalize(to) === to) return to;
  throw refuse(
    'UnknownName',
    `${host} unpacks nothing into ${to}: its site file ${restoreTo === undefined ? 'has no restore-to' : `allows folders below ${restoreTo} alone`}`,
  );
}

/** Makes the folder that artifacts are unpacked in, but never the one above it: its disk may not be mounted. */
export async function makeLookFolder(site: Site, to: string): Promise<void> {
  const folder = posix.dirname(to);
  const wrong = await whyNot(site, folder);
  if (wrong !== null) throw refuse('NotAtRest', wrong);
  await mkdir(folder, { mode: 0o700 }).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  });
}

/** Once nothing is in it; what was found there before stays. */
export async function removeLookFolder(folder: string): Promise<void> {
  await rmdir(folder).catch((error: unknown) => {
    if (!['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes(String((error as NodeJS.ErrnoException).code)))
      throw error;
  });
}

/** Nothing lies there that would be mixed with what is unpacked. */
export async function lookRows(site: Site, to: string): Promise<readonly Row[]> {
  const folder = posix.dirname(to);
  const wrong = await whyNot(site, folder);
  if (wrong !== null) return [{ verdict: 'no-go', detail: wrong }];
  const names = await readdir(folder).catch(() => []);
  return names.length === 0
    ? [{ verdict: 'go', detail: `will be unpacked into ${to}; nothing is stopped or replaced` }]
    : [{ verdict: 'no-go', detail: `${folder} is not empty`, hint: 'name a folder that does not exist yet' }];
}

async function whyNot(site: Site, folder: string): Promise<string | null> {
  const below = site.restoreTo ?? '';
  const above = posix.dirname(folder);
  const [allowed, real] = await Promise.all([below, above].map((path) => realpath(path).catch(() => null)));
  if (allowed == null) return `${below} (restore-to) is not there: make it, or mount its disk`;
  if (real == null) return `${above} is not there: make it first`;
  if (real !== allowed && !real.startsWith(`${allowed}/`))
    return `${above} leads to ${real}, which is not below ${below}`;
  const found = await lookAt(folder);
  if (found === null || found.isDirectory()) return null;
  return `${folder} is ${(await lstat(folder)).isSymbolicLink() ? 'a symbolic link' : 'no folder'}`;
}
