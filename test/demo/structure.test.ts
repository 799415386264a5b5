import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { parseSite } from '../../config/load.ts';
import { clockOf } from '../../demo/clock.ts';
import { demoSite, type Miniature } from '../../demo/site.ts';

const example = readFileSync('examples/vitam.yaml', 'utf8');
const noon = Date.parse('2026-11-21T11:00:00Z');

const seen: string[] = [];
const here: Miniature = {
  onHost: (host, path) => `/demo/hosts/${host}${path}`,
  unit: (host, service) => `/demo/hosts/${host}/services/${service}`,
  servicectl: '/checkout/demo/services/servicectl',
  countWorkflows: '/checkout/demo/services/count-workflows',
  mongodOf: () => ['/programs/mongod'],
  portOf: () => 20_001,
  memberOf: (name) => {
    if (!seen.includes(name)) seen.push(name);
    return `127.0.0.1:${20_100 + seen.indexOf(name)}`;
  },
  clock: clockOf('Europe/Paris', 121, noon),
};

const demo = demoSite(example, here);

describe('the site file of the demo', () => {
  test('differs from examples/vitam.yaml in addresses, paths, drivers and clock times only', () => {
    expect(masked(parse(demo))).toEqual(masked(parse(example)));
  });

  test('has the steps of the example in its order, with its services', () => {
    const steps = (text: string) => JSON.stringify(maskedTimes(parsed(text).procedures.nightly?.steps));
    expect(steps(demo)).toBe(steps(example));
  });

  test('is a right site file', () => {
    expect(parseSite(demo, 'vitam.yaml')).not.toHaveProperty('problems');
  });

  test('has a night that begins now and goes over midnight where it must', () => {
    const late = demoSite(example, {
      ...here,
      clock: clockOf('Europe/Paris', 120, Date.parse('2026-11-21T22:59:00Z')),
    });
    expect(parsed(late).procedures.nightly).toMatchObject({
      start: { days: ['sat'], at: '23:59:00' },
      restart: { at: '00:01:00' },
    });
  });
});

function parsed(text: string) {
  const site = parseSite(text, 'vitam.yaml');
  if ('problems' in site) throw new Error(JSON.stringify(site.problems));
  return site.site as typeof site.site & { procedures: Record<string, { steps: unknown }> };
}

const drivers = ['systemd', 'command'];
const programs = ['mongod'];
const paths = ['data', 'file', 'roots', 'directory', 'scratch'];
const addresses = ['http', 'tcp'];

/** What may differ is only said to be there; a member is called by its place in the list. */
function masked(value: unknown, under = ''): unknown {
  if (Array.isArray(value)) return under === 'steps' ? maskedTimes(value) : value.map((item) => masked(item));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]: [string, unknown], index) => {
      if (under === 'members') return [index, masked(inner)];
      if (drivers.includes(key)) return ['driver', true];
      if (programs.includes(key)) return [key, 'a program'];
      if (paths.includes(key)) return [key, 'a path'];
      if (addresses.includes(key)) return [key, 'an address'];
      if (['start', 'restart', 'up-by'].includes(key)) return [key, maskedTimes({ [key]: inner })];
      return [key, masked(inner, key)];
    }),
  );
}

const times = ['at', 'not-after', 'until', 'began-after', 'beganAfter', 'days', 'up-by'];

function maskedTimes(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(maskedTimes);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]: [string, unknown]) => [
      key,
      times.includes(key) ? 'a time' : maskedTimes(inner),
    ]),
  );
}
