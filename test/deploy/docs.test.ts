import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { siteJsonSchema } from '../../config/json-schema.ts';
import { coldbackupAt } from '../cli/coldbackup.ts';
import { createCleanup } from '../support/processes.ts';

const cleanup = createCleanup();
afterAll(cleanup.run);

const pages = [
  'README.md',
  ...readdirSync('docs')
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
];
const read = (page: string): string => readFileSync(page, 'utf8');
const blocks = (page: string, kind: string): readonly string[] =>
  [...read(page).matchAll(/^ *```(\w*)\n(.*?)^ *```$/gms)].flatMap(([, found, text = '']) =>
    found === kind ? [text] : [],
  );

describe('the pages', () => {
  test.each(pages)('%s links to what is there', (page) => {
    const broken = [...read(page).matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, target = '']) => target)
      .filter((target) => !/^https?:/.test(target))
      .filter((target) => {
        const [file = '', anchor] = target.split('#');
        const to = file === '' ? page : join(dirname(page), file);
        return !existsSync(to) || (anchor !== undefined && !anchorsOf(to).includes(anchor));
      });
    expect(broken).toEqual([]);
  });

  test('docs/site-file.md explains every key that a site file may have', () => {
    const text = read('docs/site-file.md') + read('docs/schedules.md');
    const missing = [...keysOf(siteJsonSchema())].filter((key) => !new RegExp(`\\b${key}\\b`).test(text));
    expect(missing).toEqual([]);
  });

  test('the site files that are shown whole are good ones', async () => {
    const shown = ['README.md', 'docs/site-file.md'].flatMap((page) =>
      blocks(page, 'yaml').filter((text) => text.startsWith('site:')),
    );
    expect(shown).toHaveLength(2);
    const folder = await cleanup.folder();
    for (const [index, text] of shown.entries()) {
      const file = join(folder, `${index}.yaml`);
      writeFileSync(file, text);
      expect((await coldbackupAt()('check', file)).stdout).toContain(': ok.');
    }
  });
});

describe('the commands in the pages', () => {
  let known: readonly string[] = [];
  beforeAll(async () => {
    const { stdout } = await coldbackupAt()('--help');
    known = [...stdout.matchAll(/^ {2}([a-z]+) /gm)].map(([, name = '']) => name);
  });

  test.each(pages)('%s names commands that there are', (page) => {
    const named = [...read(page).matchAll(/(?:`|\$ |sudo )coldbackup ([a-z]+)\b/gm)].map(
      ([, name = '']) => name,
    );
    expect(named.filter((name) => !known.includes(name))).toEqual([]);
  });
});

test('no page has a path of the machine it was written on', () => {
  for (const page of pages) expect([page, read(page).match(/\/(tmp|work|root)\/\S*/g)]).toEqual([page, null]);
});

function anchorsOf(page: string): readonly string[] {
  return [...read(page).matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );
}

function keysOf(schema: unknown): ReadonlySet<string> {
  if (typeof schema !== 'object' || schema === null) return new Set();
  const own = 'properties' in schema ? Object.keys(schema.properties as object) : [];
  return new Set([...own, ...Object.values(schema).flatMap((part) => [...keysOf(part)])]);
}
