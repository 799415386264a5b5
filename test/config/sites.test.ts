import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { parseSite } from '../../config/load.ts';
import { UnknownSiteError } from '../../config/problem.ts';
import { loadSites, siteNamed } from '../../config/sites.ts';
import { SMALL_SITE, spoil } from './small-site.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'coldbackup-sites-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function sitesOf(name: string, files: Readonly<Record<string, string>>) {
  const place = path.join(folder, name);
  await mkdir(place);
  for (const [file, text] of Object.entries(files)) await writeFile(path.join(place, file), text);
  return loadSites(place);
}

describe('a folder of site files', () => {
  test('gives the right ones by name, and the problems of the others', async () => {
    const { sites, problems } = await sitesOf('mixed', {
      'b.yaml': spoil(['site: small', 'site: other']),
      'a.yml': SMALL_SITE,
      'broken.yaml': spoil(['keeper: two', 'keeper: tow']),
      'notes.txt': 'not a site file',
      '.hidden.yaml': 'x',
    });
    expect([...sites.keys()]).toEqual(['small', 'other']);
    expect(problems.map(({ file, key }) => [path.basename(file), key])).toEqual([
      ['broken.yaml', 'stores.vault.keeper'],
    ]);
  });

  test('serves neither of two files that describe one site', async () => {
    const { sites, problems } = await sitesOf('twins', { 'a.yaml': SMALL_SITE, 'b.yaml': SMALL_SITE });
    expect(sites.size).toBe(0);
    expect(problems.map(({ message }) => message)).toEqual([
      expect.stringMatching(/^site "small" is also described by .*b\.yaml$/),
      expect.stringMatching(/^site "small" is also described by .*a\.yaml$/),
    ]);
  });

  test('may be a single file', async () => {
    const file = path.join(folder, 'single.yaml');
    await writeFile(file, SMALL_SITE);
    expect([...(await loadSites(file)).sites.keys()]).toEqual(['small']);
  });

  test('answers an unknown name with the known ones, the nearest first', async () => {
    const { sites } = await sitesOf('names', {
      'a.yaml': SMALL_SITE,
      'b.yaml': spoil(['site: small', 'site: vitam']),
    });
    expect(siteNamed(sites, 'vitam').site.site).toBe('vitam');
    expect(() => siteNamed(sites, 'vitan')).toThrow(UnknownSiteError);
    expect(() => siteNamed(sites, 'vitan')).toThrow(
      'unknown site "vitan": did you mean "vitam"? (known sites: vitam, small)',
    );
    expect(() => siteNamed(new Map(), 'x')).toThrow('unknown site "x" (no site is served)');
  });
});

describe('the digest', () => {
  function digest(text: string): string {
    const parsed = parseSite(text, 'x');
    return 'digest' in parsed ? parsed.digest : 'problems';
  }

  test.each([
    ['a comment', spoil(['site: small', 'site: small # a comment'])],
    [
      'the order of keys',
      spoil(['site: small\ntimezone: Europe/Paris', 'timezone: Europe/Paris\nsite: small']),
    ],
    [
      'the order of entries',
      spoil(
        ['  db-a: { host: one, systemd: db.service }\n', ''],
        ['services:\n', 'services:\n  db-a: { host: one, systemd: db.service }\n'],
      ),
    ],
    ['another way to write a list of one', spoil(['host: one, systemd: web', 'hosts: [one], systemd: web'])],
    ['another way to write a duration', spoil(['stop-within: 90s', 'stop-within: 1m30s'])],
    [
      'a default that is written out',
      spoil(['systemd: job.service', 'systemd: { unit: job.service, manager: system }']),
    ],
    [
      'limits that are the defaults',
      spoil(['procedures:', 'limits: { grace: 600s, longest-down: 24h }\nprocedures:']),
    ],
    ['a slash at the end', spoil(['directory: /backup', 'directory: /backup/'])],
  ])('does not change with %s', (_, text) => {
    expect(digest(text)).toBe(digest(SMALL_SITE));
  });

  test.each([
    ['a time', spoil(['stop-within: 90s', 'stop-within: 91s'])],
    [
      'the order of what is stopped',
      spoil(
        ['stop: [worker]', 'stop: [worker, db-x]'],
        ['services:', 'services:\n  db-x: { host: one, systemd: x.service }'],
      ),
    ],
    ['a limit', spoil(['procedures:', 'limits: { grace: 2s }\nprocedures:'])],
    ['a path', spoil(['data: /data/db', 'data: /data/dc'])],
  ])('changes with %s', (_, text) => {
    expect(digest(text)).not.toBe('problems');
    expect(digest(text)).not.toBe(digest(SMALL_SITE));
  });
});
