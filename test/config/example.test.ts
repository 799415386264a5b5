import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { siteJsonSchema } from '../../config/json-schema.ts';
import { loadSite, parseSite } from '../../config/load.ts';

const ROOT = new URL('../../', import.meta.url);

function read(file: string): string {
  return readFileSync(new URL(file, ROOT), 'utf8');
}

describe('the example', () => {
  test('parses, and names the schema for editors in its first line', async () => {
    expect(read('examples/vitam.yaml')).toMatch(
      /^# yaml-language-server: \$schema=\.\.\/docs\/site\.schema\.json\n/,
    );
    const { site, digest } = await loadSite(new URL('examples/vitam.yaml', ROOT).pathname);
    expect(site.hosts).toEqual(['app-1', 'mongo-1', 'mongo-2']);
    expect(Object.keys(site.services).filter((name) => !name.startsWith('mongo'))).toHaveLength(13);
    expect(digest).toMatch(/^[0-9a-f]{64}$/);
  });

  test('spreads two shards and a config set of three members over three hosts', async () => {
    const { site } = await loadSite(new URL('examples/vitam.yaml', ROOT).pathname);
    const engine = site.databases['vitam-mongo']?.engine;
    const members = engine?.kind === 'mongodb' ? Object.values(engine.members) : [];
    expect(members).toHaveLength(9);
    for (const host of site.hosts) expect(members.filter((member) => member.host === host)).toHaveLength(3);
  });
});

describe('the drafts', () => {
  test.each(readdirSync(new URL('docs/drafts/', ROOT)))(
    '%s is YAML that the released schema refuses',
    (name) => {
      const parsed = parseSite(read(`docs/drafts/${name}`), name);
      expect('problems' in parsed && parsed.problems.length > 0).toBe(true);
      expect('problems' in parsed && parsed.problems.every(({ key }) => key !== '')).toBe(true);
    },
  );
});

describe('the JSON Schema', () => {
  test('in docs/ is the current one (coldbackup schema > docs/site.schema.json)', () => {
    expect(JSON.parse(read('docs/site.schema.json'))).toEqual(siteJsonSchema());
  });

  test('describes every key', () => {
    expect(undescribed(siteJsonSchema(), '')).toEqual([]);
  });

  test('says which keys exclude each other', () => {
    const schema = JSON.stringify(siteJsonSchema());
    expect(schema).toContain('{"oneOf":[{"required":["systemd"]},{"required":["command"]}]}');
    expect(schema).toContain('{"oneOf":[{"required":["mongodb"]},{"required":["files"]}]}');
  });
});

function undescribed(node: unknown, path: string): readonly string[] {
  if (typeof node !== 'object' || node === null) return [];
  const properties = (node as { properties?: Record<string, { description?: unknown }> }).properties ?? {};
  const here = Object.entries(properties)
    .filter(([, property]) => typeof property.description !== 'string')
    .map(([key]) => `${path}/${key}`);
  return [...here, ...Object.entries(node).flatMap(([key, part]) => undescribed(part, `${path}/${key}`))];
}
