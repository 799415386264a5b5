import { describe, expect, test } from '@jest/globals';
import { resolveRestore } from '../../config/restore/plan.ts';
import { parseSite, type LoadedSite } from '../../config/load.ts';
import type { RestoreRequest } from '../../model/activities.ts';
import type { Artifact, MongodbSetRecord } from '../../model/manifest.ts';

const site = `
site: shop
timezone: Europe/Paris
hosts: [app-1, db-1]
services:
  web: { host: app-1, systemd: web.service }
  worker: { hosts: [app-1, db-1], systemd: worker.service }
  one: { host: app-1, systemd: one.service }
  two: { host: db-1, systemd: two.service }
databases:
  uploads:
    used-by: [web]
    files: { host: app-1, roots: [/srv/uploads], exclude: [cache] }
  orders:
    used-by: [worker, web]
    mongodb:
      members:
        "one:27017": { host: app-1, service: one, data: /data/one, uri: { file: /etc/one } }
        "two:27017": { host: db-1, service: two, data: /data/two, uri: { file: /etc/two } }
stores:
  vault: { directory: /backup, shared: true, keeper: db-1 }
procedures: {}
limits: { longest-down: 6h, grace: 10m }
`;

const startedAt = '2026-11-21T20:00:00.000Z';
const member: MongodbSetRecord = {
  ...{ set: 'rs', role: 'replica-set', member: 'one:27017', artifact: 'orders/rs.tar.zst', marker: null },
  ...{ version: '6.0.27', fcv: '6.0', options: {}, shardIdentity: null, fingerprint: { databases: {} } },
  replicaSetConfig: { _id: 'rs', members: [{ host: 'one:27017' }, { host: 'two:27017' }] },
};

describe('the plan of a restore', () => {
  test('unpacks first, then stops who uses the data, then replaces it: and holds all of that', () => {
    const plan = resolveRestore(loaded(), request());
    expect(plan.steps.map(({ id, kind }) => `${id} ${kind}`)).toEqual(['1 unpack', '2 stop', '3 replace']);
    expect(plan.steps[1]).toMatchObject({ label: 'stop web, worker' });
    expect(plan.holds).toEqual({
      'app-1': ['data/orders/one:27017', 'data/uploads', 'service/one', 'service/web', 'service/worker'],
      'db-1': ['data/orders/two:27017', 'service/two', 'service/worker'],
    });
    expect(plan.hosts).toEqual(['app-1', 'db-1']);
    expect(plan.warnings).toContainEqual(expect.stringContaining('exclude (cache) is not in the set'));
  });

  test('gives every member its own copy, or else the one of its set', () => {
    const own = { ...member, member: 'two:27017', artifact: 'orders/two.tar.zst' };
    const of = (sets: readonly MongodbSetRecord[]) => {
      const [step] = resolveRestore(loaded(), { ...request(sets), database: 'orders' }).steps;
      return step?.kind === 'unpack' ? step.targets.map(({ artifact }) => artifact) : [];
    };
    expect(of([member])).toEqual(['orders/rs.tar.zst', 'orders/rs.tar.zst']);
    expect(of([member, own])).toEqual(['orders/rs.tar.zst', 'orders/two.tar.zst']);
  });

  test('has as long as the site file lets anything stay down, or until it is told', () => {
    expect(resolveRestore(loaded(), request()).upBy).toBe('2026-11-22T01:50:00.000Z');
    expect(resolveRestore(loaded(), { ...request(), upBy: '23:00' }).upBy).toBe('2026-11-21T22:00:00.000Z');
    expect(() => resolveRestore(loaded(), { ...request(), upBy: '12:00' })).toThrow('limits.longest-down');
  });

  test('of one member stops and replaces that one alone, on hosts that nobody else may hold meanwhile', () => {
    const marked = { ...member, marker: { ts: '1,1', term: 1 } };
    const plan = resolveRestore(loaded(), { ...request([marked]), member: 'one:27017' });
    expect(plan.steps.map(({ kind }) => kind)).toEqual(['unpack', 'replace']);
    expect(plan.holds).toEqual({ 'app-1': ['data/orders/one:27017', 'service/one'], 'db-1': [] });
    expect(plan.steps[1]).toMatchObject({
      ...{ usedBy: [], targets: [{ member: 'one:27017' }] },
      databases: [{ rejoins: { point: { ts: '1,1' }, others: [{ name: 'two:27017', host: 'db-1' }] } }],
    });
    expect(plan.warnings).toEqual([expect.stringContaining('only one:27017 of orders is replaced')]);
  });

  test('of a set of other members makes one of those of the site file, of one identity, and says so', () => {
    const apart = setWith({ host: 'old:27017' }, { host: 'x:1', arbiterOnly: true });
    const plan = resolveRestore(loaded(), { ...request([apart]), database: 'orders' });
    const [step] = plan.steps;
    const ids = step?.kind === 'unpack' ? step.targets.map(({ newSet }) => newSet) : [];
    expect(ids).toEqual([expect.stringMatching(/^[0-9a-f]{24}$/), ids[0]]);
    expect(plan.warnings).toEqual(
      expect.arrayContaining([
        expect.stringContaining('orders becomes a replica set of one:27017, two:27017'),
        expect.stringContaining('old:27017 of the set is not in the site file'),
      ]),
    );
    const same = resolveRestore(loaded(), { ...request(), database: 'orders' });
    expect(JSON.stringify(same)).not.toContain('newSet');
  });

  test.each<[string, () => RestoreRequest, string]>([
    [
      'a database that is not in the set',
      () => ({ ...request(), database: 'order' }),
      'did you mean "orders"',
    ],
    [
      'a sharded cluster where the site file has none',
      () => request([member], 'sharded'),
      'is a sharded cluster in the set, and has no mongos in the site file',
    ],
    [
      'a set with an arbiter that knows some of the members',
      () => request([setWith({ host: 'one:27017' }, { host: 'x:1', arbiterOnly: true })]),
      'had an arbiter',
    ],
    [
      'one member of a standalone server',
      () => ({ ...request([{ ...member, role: 'standalone' }]), member: 'one:27017' }),
      'is no member of a replica set in the set',
    ],
    [
      'a member that the set does not know',
      () => ({ ...request([setWith({ host: 'one:27017' })]), member: 'two:27017' }),
      'was no member of orders when the set was taken',
    ],
    [
      'a member that nobody knows',
      () => ({ ...request(), member: 'tow:27017' }),
      'names no member "tow:27017": did you mean "two:27017"?',
    ],
    [
      'a member without others',
      () => ({
        ...request([{ ...setWith({ host: 'one:27017' }), marker: { ts: '1,1', term: 1 } }]),
        member: 'one:27017',
      }),
      'nobody to catch up with',
    ],
    [
      'a standalone server where there are two members',
      () => request([{ ...member, role: 'standalone' }]),
      'a standalone server has no others',
    ],
    ['an unknown store', () => ({ ...request(), store: 'vaults' }), 'has no artifact'],
  ])('refuses %s', (_, wanted, words) => {
    expect(() => resolveRestore(loaded(), wanted())).toThrow(words);
  });
});

describe('the plan of a restore of a sharded cluster', () => {
  const cluster = site
    .replace(
      '  one: {',
      '  three: { host: db-1, systemd: three.service }\n  router: { hosts: [app-1, db-1], systemd: mongos.service }\n  one: {',
    )
    .replace(
      '      members:',
      '      mongos: { host: app-1, uri: { file: /etc/mongos } }\n      routers: [router]\n      members:\n        "three:27019": { host: db-1, service: three, data: /data/three, uri: { file: /etc/three } }',
    );
  const shard = (name: string, host: string): MongodbSetRecord => ({
    ...{ ...member, set: name, role: 'shard', member: host, artifact: `orders/${name}.tar.zst` },
    replicaSetConfig: { _id: name, members: [{ host }] },
    shardIdentity: { shardName: name },
  });
  const sets: readonly MongodbSetRecord[] = [
    shard('shard1', 'one:27017'),
    shard('shard2', 'two:27017'),
    { ...shard('config', 'three:27019'), role: 'config', shardIdentity: null },
  ];
  const shards = [
    { _id: 'shard1', host: 'shard1/one:27017' },
    { _id: 'shard2', host: 'shard2/two:27017' },
  ];

  test('gives every member the copy of its set, and holds routers and the settings of the balancer too', () => {
    const plan = resolveRestore(loaded(cluster), of());
    const [unpack] = plan.steps;
    expect(unpack?.kind === 'unpack' && unpack.targets.map((one) => [one.member, one.artifact])).toEqual([
      ['three:27019', 'orders/config.tar.zst'],
      ['one:27017', 'orders/shard1.tar.zst'],
      ['two:27017', 'orders/shard2.tar.zst'],
    ]);
    expect(plan.holds).toMatchObject({
      'app-1': expect.arrayContaining(['service/router', 'settings/orders']),
      'db-1': expect.arrayContaining(['service/router', 'service/three', 'data/orders/three:27019']),
    });
  });

  test('of other members makes one of those of the site file, each set by itself, with shards that are there', () => {
    const elsewhere = sets.map((one) => ({
      ...one,
      replicaSetConfig: { _id: one.set, members: [{ host: `old-${one.set}:1` }, { host: 'more:1' }] },
    }));
    const before = shards.map(({ _id }) => ({ _id, host: `${_id}/old-${_id}:1,more:1`, state: 1 }));
    const plan = resolveRestore(loaded(apart()), of({ sets: elsewhere, shards: before }));
    const [unpack, , replace] = plan.steps;
    const targets = unpack?.kind === 'unpack' ? unpack.targets : [];
    expect(targets.map(({ member, artifact }) => [member, artifact])).toEqual([
      ['three:27019', 'orders/config.tar.zst'],
      ['one:27017', 'orders/shard1.tar.zst'],
      ['two:27017', 'orders/shard2.tar.zst'],
    ]);
    expect(new Set(targets.map(({ newSet }) => newSet)).size).toBe(3);
    expect(replace).toMatchObject({
      databases: [
        {
          cluster: {
            shards: shards.map((one) => ({ ...one, state: 1 })),
            sets: [{ members: ['one:27017'] }, { members: ['two:27017'] }, { members: ['three:27019'] }],
          },
        },
      ],
    });
    expect(plan.warnings).toContainEqual(
      expect.stringContaining('orders becomes a sharded cluster of three:27019, one:27017, two:27017'),
    );
    expect(JSON.stringify(resolveRestore(loaded(apart()), of()))).not.toContain('newSet');
  });

  test.each<[string, () => RestoreRequest, string, string]>([
    [
      'of other members that are of another shard than any that it had',
      () => of(),
      'shard1, shard2, config in the set, and config, shard1, shard3 in the site file',
      apart().replace('shard2', 'shard3'),
    ],
    [
      'where nobody says which services its routers are',
      () => of(),
      'a mongos that goes on would write',
      cluster.replace('      routers: [router]\n', ''),
    ],
    [
      'of which a shard was not copied',
      () => of({ sets: sets.filter(({ set }) => set !== 'shard2') }),
      'does not hold all of orders: shard shard2',
      cluster.replace(/ +"two:27017": .*\n/, ''),
    ],
    [
      'whose shards have other names in themselves than in config.shards',
      () => of({ shards: shards.map((one) => ({ ...one, _id: one._id.replace('2', '3') })) }),
      'shard shard3 as config.shards has it (its name)',
      cluster,
    ],
    [
      'whose shards had other members',
      () => of({ sets: sets.map((one) => (one.set === 'shard2' ? shard('shard2', 'elsewhere:1') : one)) }),
      'shard2, a shard of elsewhere:1; config, a config of three:27019; and the site file names three:27019, one:27017, two:27017: to restore it to others, say of each',
      cluster,
    ],
  ])('refuses one %s', (_, wanted, words, text) => {
    expect(() => resolveRestore(loaded(text), wanted())).toThrow(words);
  });

  /** The site file says which set each member is of. */
  function apart(): string {
    const set = (text: string, member: string, name: string) =>
      text.replace(new RegExp(`("${member}": .*) \\}$`, 'm'), `$1, replica-set: ${name} }`);
    return set(set(set(cluster, 'three:27019', 'config'), 'one:27017', 'shard1'), 'two:27017', 'shard2');
  }

  function of(change: { sets?: readonly MongodbSetRecord[]; shards?: typeof shards } = {}): RestoreRequest {
    const wanted = request(change.sets ?? sets, 'sharded');
    const databases = wanted.manifest.databases.map((one) =>
      one.engine === 'mongodb' ? { ...one, shards: change.shards ?? shards } : one,
    );
    return { ...wanted, database: 'orders', manifest: { ...wanted.manifest, databases } };
  }
});

function setWith(...members: readonly Record<string, unknown>[]): MongodbSetRecord {
  return { ...member, replicaSetConfig: { _id: 'rs', members } };
}

function loaded(text = site): LoadedSite {
  const parsed = parseSite(text, 'shop.yaml');
  if ('problems' in parsed) throw new Error(JSON.stringify(parsed.problems));
  return { ...parsed, file: 'shop.yaml' };
}

function request(
  sets: readonly MongodbSetRecord[] = [member],
  topology: 'sharded' | 'replica-set' = 'replica-set',
): RestoreRequest {
  return {
    ...{ site: 'shop', startedAt, store: 'vault' },
    manifest: {
      set: { site: 'shop', procedure: 'nightly', id: '2026-11-20T190000Z-0a1b2c3d' },
      ...{ complete: true, publishedAt: startedAt },
      artifacts: ['uploads/files.tar.zst', ...sets.map(({ artifact }) => artifact)].map(artifactNamed),
      databases: [
        { engine: 'files', database: 'uploads' },
        { engine: 'mongodb', database: 'orders', topology, shards: null, balancer: null, sets },
      ],
    },
  };
}

function artifactNamed(name: string): Artifact {
  return {
    ...{ name, store: 'vault', host: 'app-1', database: name.split('/')[0] ?? '' },
    ...{ sizeBytes: 1, sha256: '', contentBytes: 1, files: 1, startedAt, endedAt: startedAt, leftOut: [] },
    fileList: { name: `${name}.files`, sha256: '', sizeBytes: 1 },
  };
}
