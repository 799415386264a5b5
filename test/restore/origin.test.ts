import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { checkRestore } from '../../activities/restore/checks.ts';
import { createStoreActivities } from '../../activities/stores/activities.ts';
import { ownerOf, thisMachine } from '../../activities/system/machine.ts';
import type { Artifact, MongodbRecord, MongodbSetRecord } from '../../model/manifest.ts';
import type { PlanUnpack } from '../../model/plan.ts';
import type { Site } from '../../model/site.ts';
import { copyTo, manifestOf, setOf, siteWith } from '../stores/support.ts';
import { createCleanup } from '../support/processes.ts';

const host = 'mongo-1';
const member = 'a:27017';
const cleanup = createCleanup();
let folder: string;
let site: Site;
let published = 0;

/** What preflight says of a restore of sets that were taken elsewhere, or of other owners. */
beforeAll(async () => {
  folder = await cleanup.folder();
  for (const name of ['store', 'tree']) await mkdir(join(folder, name));
  await writeFile(join(folder, 'tree', 'one'), 'one');
  const uri = { file: join(folder, 'none') };
  site = {
    ...siteWith(join(folder, 'store')),
    databases: {
      offer: { usedBy: [], engine: { kind: 'files', host, roots: [join(folder, 'tree')], exclude: [] } },
      orders: {
        usedBy: [],
        engine: {
          ...{ kind: 'mongodb', allow: [] },
          members: { [member]: { host, service: 'mongod', data: join(folder, 'tree'), uri } },
        },
      },
    },
  };
});
afterAll(cleanup.run);

const here = thisMachine();
const other = here.byteOrder === 'little-endian' ? 'big-endian' : 'little-endian';

test('an artifact has the machine that it was taken on, and whose its roots were; at home nothing is said', async () => {
  const [root, artifact] = [join(folder, 'tree'), await copied()];
  expect(artifact).toMatchObject({ machine: here, owners: { [root]: await ownerOf(root) } });
  expect(await rows('offer', {})).toEqual([]);
});

test('another architecture is a warning; of a mongod another byte order is a no-go', async () => {
  const elsewhere = { machine: { ...here, arch: 's390' } };
  for (const database of ['offer', 'orders'] as const)
    expect(await rows(database, elsewhere)).toMatchObject([
      { verdict: 'warning', detail: expect.stringMatching(/taken on s390, .* this host is /) },
    ]);
  const turned = { machine: { arch: 's390x', byteOrder: other } } as const;
  expect(await rows('orders', turned)).toMatchObject([
    { verdict: 'no-go', hint: `restore it to a ${other} host` },
  ]);
  expect(await rows('offer', turned)).toMatchObject([{ verdict: 'warning' }]);
});

(process.getuid?.() === 0 ? test : test.skip)('other owners are a warning that names both', async () => {
  const root = join(folder, 'tree');
  expect(await rows('orders', { owners: { '/where/it/was': '4321:1234' } })).toMatchObject([
    {
      verdict: 'warning',
      detail: expect.stringMatching(
        new RegExp(
          `^${root} belongs to ${await ownerOf(root)} \\(uid:gid\\) now, and to 4321:1234 in the set`,
        ),
      ),
    },
  ]);
});

test('of a set that an earlier version made it is not known, and that is said', async () => {
  const of = Object.entries(await copied()).filter(([key]) => !['machine', 'owners'].includes(key));
  expect(await rows('offer', {}, Object.fromEntries(of) as unknown as Artifact)).toMatchObject([
    { verdict: 'go', detail: expect.stringContaining('is not known: an earlier version made the set') },
  ]);
});

function copied(): Promise<Artifact> {
  published += 1;
  const set = setOf(`2026-11-20T19${String(published).padStart(4, '0')}Z-0a1b2c3d`);
  return copyTo(site, host, set, 'offer/tree.tar.zst', join(folder, 'tree'));
}

/** Those about where it was taken, and by whom. */
async function rows(database: 'offer' | 'orders', changes: Partial<Artifact>, made?: Artifact) {
  const artifact = { ...(made ?? (await copied())), ...changes, database };
  const set = setOf(`2026-11-20T19${String(published).padStart(4, '0')}Z-0a1b2c3d`);
  const record = { artifact: artifact.name, member, role: 'standalone', version: '6.0.27' };
  const manifest = manifestOf(set, [artifact], {
    databases: [
      database === 'offer'
        ? { engine: 'files', database }
        : ({ engine: 'mongodb', database, sets: [record as MongodbSetRecord] } as unknown as MongodbRecord),
    ],
  });
  await createStoreActivities({ site, host }).publishSet({ site: 'vitam', store: 'vault', manifest });
  const { name, contentBytes } = artifact;
  const target = { host, database, artifact: name, contentBytes };
  const step = {
    ...{ store: 'vault', set },
    targets: [database === 'offer' ? target : { ...target, member }],
  } as unknown as PlanUnpack;
  const checks = await checkRestore(site, host, step, new AbortController().signal);
  return checks.filter(({ detail }) => /taken on|on which machine|belongs to/.test(detail));
}
