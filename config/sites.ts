import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { loadSite } from './load.ts';
import type { LoadedSite } from './load.ts';
import { byDistance, quoteWithNearest } from './nearest.ts';
import { SiteFileError, UnknownSiteError } from './problem.ts';
import type { Problem } from './problem.ts';

export interface LoadedSites {
  /** By the site's name. */
  readonly sites: ReadonlyMap<string, LoadedSite>;
  /** Of the files that cannot be served. */
  readonly problems: readonly Problem[];
}

/**
 * One site file, or every `*.yaml` and `*.yml` of a folder. Files with problems are left out and reported; of two files
 * that describe one site neither is served.
 * @throws the error of the system when the folder cannot be read.
 */
export async function loadSites(folderOrFile: string): Promise<LoadedSites> {
  const loaded: LoadedSite[] = [];
  const problems: Problem[] = [];
  for (const file of await filesOf(folderOrFile)) {
    try {
      loaded.push(await loadSite(file));
    } catch (error) {
      problems.push(...problemsOf(file, error));
    }
  }
  const twins = loaded.filter((one) => loaded.some((other) => other !== one && isSameSite(one, other)));
  return {
    sites: new Map(loaded.filter((one) => !twins.includes(one)).map((one) => [one.site.site, one])),
    problems: [...problems, ...twins.map((one) => twinProblem(one, loaded))],
  };
}

/** @throws UnknownSiteError with the names that are known, the nearest first. */
export function siteNamed(sites: ReadonlyMap<string, LoadedSite>, name: string): LoadedSite {
  const found = sites.get(name);
  if (found !== undefined) return found;
  const known = [...sites.keys()];
  const list =
    known.length === 0 ? 'no site is served' : `known sites: ${byDistance(name, known).join(', ')}`;
  throw new UnknownSiteError(`unknown site ${quoteWithNearest(name, known)} (${list})`);
}

async function filesOf(folderOrFile: string): Promise<readonly string[]> {
  if (!(await stat(folderOrFile)).isDirectory()) return [folderOrFile];
  const names = await readdir(folderOrFile);
  return names
    .filter((name) => /\.ya?ml$/.test(name) && !name.startsWith('.'))
    .sort()
    .map((name) => path.join(folderOrFile, name));
}

function problemsOf(file: string, error: unknown): readonly Problem[] {
  if (error instanceof SiteFileError) return error.problems;
  return [{ file, line: 1, column: 1, key: '', message: `cannot be read: ${String(error)}` }];
}

function isSameSite(one: LoadedSite, other: LoadedSite): boolean {
  return one.site.site === other.site.site;
}

function twinProblem(one: LoadedSite, all: readonly LoadedSite[]): Problem {
  const others = all.filter((other) => other !== one && isSameSite(one, other)).map(({ file }) => file);
  return {
    file: one.file,
    line: 1,
    column: 1,
    key: 'site',
    message: `site "${one.site.site}" is also described by ${others.join(', ')}`,
    hint: 'neither is served until one of them is gone',
  };
}
