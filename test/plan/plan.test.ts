import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { DEFAULT_LIMITS } from '../../config/schema/limits.ts';
import { loadSite, parseSite } from '../../config/load.ts';
import type { LoadedSite } from '../../config/load.ts';
import { PlanError, resolvePlan } from '../../config/plan.ts';
import type { Plan, PlanStep } from '../../model/plan.ts';
import { keepFor } from '../../model/retention.ts';
import type { Site, Step } from '../../model/site.ts';
import { SMALL_SITE, spoil } from '../config/small-site.ts';

const EXAMPLE = new URL('../../examples/vitam.yaml', import.meta.url).pathname;
const AT_20 = '2026-11-23T19:00:00.000Z';

function small(text = SMALL_SITE): LoadedSite {
  const parsed = parseSite(text, 'small.yaml');
  if ('problems' in parsed) throw new Error(JSON.stringify(parsed.problems));
  return { ...parsed, file: 'small.yaml' };
}

function allSteps(steps: readonly PlanStep[]): readonly PlanStep[] {
  return steps.flatMap((step) =>
    step.kind === 'parallel'
      ? [step, ...step.branches.flatMap(({ steps: inside }) => allSteps(inside))]
      : [step],
  );
}

describe('the plan of the Vitam night', () => {
  test('has the steps of the manual, in order', async () => {
    const plan = resolvePlan(await loadSite(EXAMPLE), { procedure: 'nightly', startedAt: AT_20 });
    expect(allSteps(plan.steps).map(({ id, label }) => `${id}: ${label}`)).toEqual([
      '1: stop ingest-internal, ingest-external, access-internal, access-external',
      '2: at the same time: logbook, processing',
      '2/logbook/1: wait for job logbook-securing',
      '2/processing/1: wait for active-workflows = 0',
      '2/processing/2: stop worker, workspace',
      '2/processing/3: stop processing',
      '3: stop functional-administration, logbook, metadata, storage, storage-default-offer',
      '4: stop elasticsearch',
      '5: cold backup of vitam-mongo, offer-mongo, offer-files, elasticsearch-data, configuration to vault',
    ]);
  });

  test('has its instants, hosts and stores', async () => {
    const loaded = await loadSite(EXAMPLE);
    const plan = resolvePlan(loaded, { procedure: 'nightly', startedAt: AT_20 });
    expect(plan).toMatchObject({
      protocol: 1,
      site: 'vitam',
      procedure: 'nightly',
      siteDigest: loaded.digest,
      timezone: 'Europe/Paris',
      night: '2026-11-23',
      windowStart: AT_20,
      restartAt: '2026-11-24T07:00:00.000Z',
      upBy: '2026-11-24T07:30:00.000Z',
      hardLimit: '2026-11-24T09:30:00.000Z',
      hosts: ['app-1', 'mongo-1', 'mongo-2'],
      stores: { vault: { keeper: 'mongo-1', shared: true } },
      keep: { daily: 14, weekly: 6 },
      warnings: [
        expect.stringMatching(/^service workspace keeps \/vitam\/data\/workspace on app-1, which is not/),
      ],
    });
    const [job, count] = allSteps(plan.steps).filter((step) => step.kind === 'wait');
    expect(job).toEqual({
      kind: 'wait',
      id: '2/logbook/1',
      onFailure: 'fail',
      label: 'wait for job logbook-securing',
      for: { kind: 'job', job: 'logbook-securing', host: 'app-1', beganAfter: '2026-11-23T23:00:00.000Z' },
      until: '2026-11-24T01:00:00.000Z',
      otherwise: 'fail',
    });
    expect(count).toMatchObject({
      for: { kind: 'count', count: 'active-workflows', host: 'app-1', reaches: 0 },
      until: '2026-11-24T02:00:00.000Z',
    });
  });

  test('holds every service that it can stop, every member, and the balancer where mongos is', async () => {
    const plan = resolvePlan(await loadSite(EXAMPLE), { procedure: 'nightly', startedAt: AT_20 });
    expect(plan.holds['mongo-1']).toEqual([
      'balancer/vitam-mongo',
      'service/mongoc-a',
      'service/mongod-shard1-a',
      'service/mongod-shard2-c',
    ]);
    expect(plan.holds['mongo-2']).toEqual([
      'service/mongoc-b',
      'service/mongod-offer',
      'service/mongod-shard1-b',
      'service/mongod-shard2-a',
      'service/storage',
      'service/storage-default-offer',
    ]);
    expect(plan.holds['app-1']).toHaveLength(14);
  });

  test('has the database as the file does: members in order, writers with their hosts', async () => {
    const plan = resolvePlan(await loadSite(EXAMPLE), { procedure: 'nightly', startedAt: AT_20 });
    const backup = plan.steps.find((step) => step.kind === 'backup');
    const [mongodb, offer, files] = backup?.kind === 'backup' ? backup.databases : [];
    expect(mongodb).toMatchObject({
      engine: 'mongodb',
      from: 'primary',
      mongosHost: 'mongo-1',
      allowSetDown: false,
    });
    expect(mongodb?.engine === 'mongodb' && mongodb.members[0]).toEqual({
      name: 'mongo-1:27018',
      host: 'mongo-1',
      service: 'mongod-shard1-a',
      hosts: ['mongo-1'],
      stopWithinMs: 120_000,
      readyWithinMs: 300_000,
    });
    expect(offer).toMatchObject({ engine: 'mongodb', mongosHost: null, allowSetDown: true });
    expect(files).toEqual({
      engine: 'files',
      database: 'offer-files',
      host: 'mongo-2',
      usedBy: [{ service: 'storage-default-offer', hosts: ['mongo-2'] }],
    });
  });
});

describe('a plan', () => {
  test('has the rules of each store where the file says them so, and none of all', () => {
    const loaded = small(spoil(['{ last: 3, daily: 7 }', '{ vault: { last: 3, within: 42d } }']));
    const plan = resolvePlan(loaded, { procedure: 'nightly', startedAt: AT_20, upBy: '23:00' });
    expect(plan).toMatchObject({ keep: null, keepIn: { vault: { last: 3, withinDays: 42 } } });
    expect([keepFor(plan, 'vault'), keepFor(plan, 'offsite')]).toEqual([{ last: 3, withinDays: 42 }, null]);
  });

  test('of an unknown procedure is refused with the known ones, the nearest first', () => {
    const attempt = () => resolvePlan(small(), { procedure: 'nigthly', startedAt: AT_20 });
    expect(attempt).toThrow(PlanError);
    expect(attempt).toThrow('unknown procedure "nigthly": did you mean "nightly"? (site small has: nightly)');
    expect(() => resolvePlan(small(), { procedure: 'toString', startedAt: AT_20 })).toThrow(PlanError);
  });

  test('outside of the window is refused with what to give', () => {
    const attempt = () =>
      resolvePlan(small(), { procedure: 'nightly', startedAt: '2026-11-23T12:00:00.000Z' });
    expect(attempt).toThrow(PlanError);
    expect(attempt).toThrow(/^small\/nightly: .*--up-by HH:MM/);
  });

  test('up by an instant beyond what agents let stay down is refused with what to do', () => {
    const until = (upBy: string) =>
      resolvePlan(small(), { procedure: 'nightly', startedAt: AT_20, upBy: `2026-11-24T${upBy}Z` });
    expect(until('19:00:00').upBy).toBe('2026-11-24T19:00:00.000Z');
    expect(() => until('19:00:01')).toThrow(PlanError);
    expect(() => until('19:00:01')).toThrow(/24h1s after the start, and limits.longest-down is 24h/);
  });

  test('gives up when the site file says, after up-by', () => {
    const loaded = small(spoil(['procedures:', 'limits: { give-up-after: 30m }\nprocedures:']));
    expect(resolvePlan(loaded, { procedure: 'nightly', startedAt: AT_20 })).toMatchObject({
      upBy: '2026-11-24T07:30:00.000Z',
      hardLimit: '2026-11-24T08:00:00.000Z',
    });
  });

  test('warns of databases that the procedure does not back up', () => {
    const plan = resolvePlan(small(spoil(['[db, tree]', '[tree]'])), {
      procedure: 'nightly',
      startedAt: AT_20,
    });
    expect(plan.warnings).toEqual(['database db is not in the set: no step of this procedure backs it up']);
    expect(plan.holds['two']).toEqual(['service/worker']);
  });

  test('names what a service keeps outside of all that is backed up, on each host where it is', () => {
    const keeps = (paths: string) =>
      resolvePlan(small(spoil(['worker: { hosts', `worker: { data: [${paths}], hosts`])), {
        procedure: 'nightly',
        startedAt: AT_20,
      }).warnings;
    expect(keeps('/srv/queue')).toEqual([
      expect.stringMatching(/^service worker keeps \/srv\/queue on .*, which is not in the set: /),
    ]);
    expect(keeps('/data/db/inside')).toEqual([]);
    expect(keeps('/data/db2')).toHaveLength(1);
  });

  test('of a run by hand says which times it cannot keep', () => {
    const plan = resolvePlan(small(), {
      procedure: 'nightly',
      startedAt: '2026-11-23T12:00:00.000Z',
      upBy: '15:00',
    });
    expect(plan.restartAt).toBeNull();
    expect(plan.upBy).toBe('2026-11-23T14:00:00.000Z');
    expect(plan.warnings).toEqual([
      'restart at 08:00 is not before up-by: bringing back begins when all is done',
      'the deadline 02:00 is later than bringing back begins: it is cut to 2026-11-23T14:00:00.000Z',
      'the deadline 03:00 is later than bringing back begins: it is cut to 2026-11-23T14:00:00.000Z',
      'the deadline 04:00 is later than bringing back begins: it is cut to 2026-11-23T14:00:00.000Z',
    ]);
    const job = allSteps(plan.steps).find((step) => step.id === '2/job/1');
    expect(job?.kind === 'wait' && job.for).toMatchObject({ beganAfter: '2026-11-22T23:00:00.000Z' });
  });

  test('is the same for the same night, wherever in its window it was resolved', () => {
    const loaded = small();
    expect(resolvePlan(loaded, { procedure: 'nightly', startedAt: '2026-11-23T19:59:00.000Z' })).toEqual(
      resolvePlan(loaded, { procedure: 'nightly', startedAt: AT_20 }),
    );
  });
});

const HOSTS = ['one', 'two', 'three'];
const NAMES = ['a', 'b', 'c', 'd', 'e', 'f'];

/** A site of services on any hosts, stopped in any tree of steps. */
const anySite: fc.Arbitrary<Site> = fc
  .record({
    hosts: fc.tuple(...NAMES.map(() => fc.subarray(HOSTS, { minLength: 1 }))),
    order: fc.shuffledSubarray(NAMES, { minLength: 1 }),
    cuts: fc.array(fc.boolean(), { minLength: 6, maxLength: 6 }),
    members: fc.boolean(),
  })
  .map(({ hosts, order, cuts, members }) => ({
    site: 'any',
    timezone: 'UTC',
    hosts: HOSTS,
    services: Object.fromEntries([
      ...NAMES.map((name, index) => [name, service(hosts[index] ?? HOSTS)] as const),
      ['server', service(['two'])] as const,
    ]),
    jobs: {},
    counts: {},
    databases: {
      db: {
        usedBy: order,
        engine: {
          kind: 'mongodb' as const,
          mongos: { host: 'three', uri: { env: 'X' } },
          members: { 'two:1': { host: 'two', service: 'server', data: '/data', uri: { env: 'X' } } },
          allow: [],
        },
      },
    },
    stores: { vault: { kind: 'directory' as const, directory: '/vault', shared: true, keeper: 'one' } },
    procedures: {
      p: {
        onFailure: 'fail' as const,
        whenHeld: 'refuse' as const,
        restart: { kind: 'when-done' as const },
        upBy: '08:00',
        steps: [...stepsOf(order, cuts), ...(members ? [BACKUP] : [])],
      },
    },
    limits: DEFAULT_LIMITS,
  }));

const BACKUP: Step = { kind: 'backup', databases: ['db'], method: 'cold', from: 'primary', to: ['vault'] };

function service(hosts: readonly string[]): Site['services'][string] {
  return {
    hosts: hosts as unknown as readonly [string],
    driver: { kind: 'systemd', unit: 'x.service', manager: 'system' },
    stopWithinMs: 1000,
    readyWithinMs: 1000,
    normally: 'running',
  };
}

function stepsOf(order: readonly string[], cuts: readonly boolean[]): readonly Step[] {
  return order.map((name, index): Step => {
    const stop: Step = { kind: 'stop', services: [name] };
    return cuts[index] === true ? { kind: 'parallel', branches: { left: [stop], right: [] } } : stop;
  });
}

test('a backup to one store says nothing of needs, one to several needs all unless told', async () => {
  const { site, ...loaded } = await loadSite(EXAMPLE);
  const to = (stores: readonly string[], needs?: 'any') => {
    const nightly = site.procedures['nightly'];
    if (nightly === undefined) throw new Error('the example has no nightly');
    const steps = nightly.steps.map((step) =>
      step.kind === 'backup' ? { ...step, to: stores, ...(needs && { needs }) } : step,
    );
    const vault = site.stores['vault'] as Site['stores'][string];
    const changed = {
      ...site,
      stores: { vault, offsite: { ...vault, keeper: 'mongo-2' } },
      procedures: { ...site.procedures, nightly: { ...nightly, steps } },
    };
    const plan = resolvePlan({ ...loaded, site: changed }, { procedure: 'nightly', startedAt: AT_20 });
    return plan.steps.find((step) => step.kind === 'backup');
  };
  expect(to(['vault'])).not.toHaveProperty('needs');
  expect(to(['vault', 'offsite'])).toMatchObject({ needs: 'all' });
  expect(to(['vault', 'offsite'], 'any')).toMatchObject({ needs: 'any', to: ['vault', 'offsite'] });
});

describe('for any site', () => {
  function planOf(site: Site): Plan {
    return resolvePlan(
      { site, digest: 'd', file: 'f' },
      { procedure: 'p', startedAt: '2026-11-23T00:00:00.000Z' },
    );
  }

  test('every service that a step names is held on all its hosts, and nothing else is held', () => {
    fc.assert(
      fc.property(anySite, (site) => {
        const plan = planOf(site);
        const steps = allSteps(plan.steps);
        const named = steps.flatMap((step) => (step.kind === 'stop' ? step.services : []));
        const expected = named.flatMap(({ service: name }) =>
          (site.services[name]?.hosts ?? []).map((host) => `${host} service/${name}`),
        );
        const backsUp = steps.some(({ kind }) => kind === 'backup');
        const held = Object.entries(plan.holds).flatMap(([host, holds]) =>
          holds.map((hold) => `${host} ${hold}`),
        );
        expect([...held].sort()).toEqual(
          [...new Set([...expected, ...(backsUp ? ['two service/server', 'three balancer/db'] : [])])].sort(),
        );
      }),
    );
  });

  test('ids are unique, each begins with the id of the step it is in, and hosts are sorted and complete', () => {
    fc.assert(
      fc.property(anySite, (site) => {
        const plan = planOf(site);
        const ids = allSteps(plan.steps).map(({ id }) => id);
        expect(new Set(ids).size).toBe(ids.length);
        expect(ids.every((id) => /^\d+(\/[a-z-]+\/\d+)*$/.test(id))).toBe(true);
        expect([...plan.hosts].sort()).toEqual(plan.hosts);
        expect(plan.hosts).toEqual(expect.arrayContaining(Object.keys(plan.holds)));
      }),
    );
  });

  test('every service that is held has its times', () => {
    fc.assert(
      fc.property(anySite, (site) => {
        const plan = planOf(site);
        const held = Object.values(plan.holds)
          .flat()
          .filter((hold) => hold.startsWith('service/'))
          .map((hold) => hold.slice('service/'.length));
        expect(Object.keys(plan.timing).sort()).toEqual([...new Set(held)].sort());
      }),
    );
  });
});
