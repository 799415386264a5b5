import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { openJournal } from '../../activities/ledger/journal.ts';
import type { Journal } from '../../activities/ledger/journal.ts';
import { createPreflightActivities } from '../../activities/preflight/preflight.ts';
import { checkSource, sourcesOn } from '../../activities/preflight/sources.ts';
import { createStoreActivities } from '../../activities/stores/activities.ts';
import type { Plan } from '../../model/plan.ts';
import type { Check } from '../../model/progress.ts';
import type { MongodbRecord, MongodbSetRecord } from '../../model/manifest.ts';
import type { Drill, HostName, MongodbMember, Procedure, ResticStore, Site } from '../../model/site.ts';
import { copyTo, manifestOf, setOf, siteWith } from '../stores/support.ts';
import { asNobody, copy, host, isRoot, makePlace, withTools } from './support.ts';
import type { Place } from './support.ts';

let place: Place;
let journal: Journal;
beforeEach(async () => {
  place = await makePlace();
  journal = openJournal(join(place.folder, 'journal'));
});
afterEach(async () => {
  journal.release();
  await place.remove();
});

const signal = new AbortController().signal;
const inTree = (...names: string[]): string => join(place.tree, ...names);

function site(): Site {
  const engine = { kind: 'files', host, roots: [place.tree], exclude: ['tmp/*'] } as const;
  const member = (on: HostName, data: string): MongodbMember => ({
    ...{ host: on, service: 'mongod', data },
    uri: { env: 'URI' },
  });
  return {
    ...siteWith(place.store.place),
    databases: {
      offer: { usedBy: [], engine },
      cluster: {
        usedBy: [],
        engine: {
          ...{ kind: 'mongodb', allow: [] },
          members: { 'a:1': member(host, inTree('a')), 'b:1': member('mongo-2', inTree('b')) },
        },
      },
    },
  };
}

function planOf(...databases: ('offer' | 'cluster')[]): Plan {
  const base = { usedBy: [], from: 'primary', mongosHost: null, members: [], allowSetDown: false };
  return {
    ...{ site: 'vitam', procedure: 'nightly', holds: {}, upBy: '2126-11-21T08:30:00.000Z' },
    ...{ hosts: [host], stores: { vault: { keeper: host, shared: true } } },
    steps: [
      {
        ...{ id: '1', label: 'backup', kind: 'backup', to: ['vault'] },
        databases: databases.map((database) =>
          database === 'offer'
            ? { ...base, engine: 'files', database, host }
            : { ...base, engine: 'mongodb', database },
        ),
      },
    ],
  } as unknown as Plan;
}

async function preflight(on = host, of = site()): Promise<readonly Check[]> {
  const { preflight: ask } = createPreflightActivities({
    ...{ site: of, siteDigest: 'd', host: on, journal, version: 'test' },
    signal: () => signal,
  });
  return (await ask({ host: on, plan: planOf('offer'), workflowId: 'w' })).checks;
}

async function ofSubject(subject: string): Promise<readonly Check[]> {
  return (await preflight()).filter((check) => check.subject === subject);
}

test('what is to be copied is counted before anything is stopped, and its size stands beside the room', async () => {
  await writeFile(inTree('one'), Buffer.alloc(1_500_000));
  await mkdir(inTree('tmp'));
  await writeFile(inTree('tmp', 'left out'), Buffer.alloc(9_000_000));
  const checks = await preflight();
  expect(checks.filter(({ verdict }) => verdict !== 'go')).toEqual([]);
  expect(checks.map(({ subject }) => subject)).toEqual([
    ...['journal', 'tool tar', 'tool zstd', 'tool flock', 'tool find', 'database offer', 'store vault'],
  ]);
  expect(checks.at(-2)?.detail).toBe(`1 files, 1.5 MB, readable, all of them in ${place.tree}`);
  expect(checks.at(-1)?.detail).toContain('at most 1.5 MB to copy from here');
});

describe('where sets have to be proven', () => {
  const drill = (): Drill => ({
    ...{ scratch: place.folder, memoryBytes: 1e9, leaveFreeBytes: 0, checks: [] },
  });
  const procedure = { proveEveryMs: 86_400_000, steps: [] } as unknown as Procedure;
  const rows = async (changes: Partial<Drill>) => {
    const of = { ...site(), drill: { ...drill(), ...changes }, procedures: { nightly: procedure } };
    return (await preflight(host, of)).filter(({ subject }) => subject === 'drills from vault');
  };

  test('a drill that would not fit, of the data as it is now, is a warning before it is asked for', async () => {
    await writeFile(inTree('one'), Buffer.alloc(1_500_000));
    expect(await rows({})).toMatchObject([{ verdict: 'go' }]);
    expect(await rows({ diskBytes: 100e6 })).toMatchObject([
      {
        verdict: 'warning',
        detail: expect.stringMatching(
          /needs 5\d\d\.\d MB for database offer \(1\.5 MB unpacked\), and drill\.disk lets it write 100\.0 MB: raise it/,
        ),
      },
    ]);
    expect(await rows({ scratch: inTree('none') })).toMatchObject([
      { verdict: 'warning', detail: expect.stringContaining('is not there: make it, or mount its disk') },
    ]);
  });

  test('a release of which no mongod is there is a warning; a host without a part in the night is named', async () => {
    const set = setOf('2026-11-20T190000Z-0a1b2c3d');
    const artifact = await copyTo(site(), host, set, 'cluster/rs.tar.zst', place.tree);
    const record = { set: 'rs', artifact: artifact.name, version: '6.0.27' } as MongodbSetRecord;
    const cluster = { engine: 'mongodb', database: 'cluster', sets: [record] } as unknown as MongodbRecord;
    const manifest = manifestOf(set, [{ ...artifact, database: 'cluster' }], { databases: [cluster] });
    await createStoreActivities({ site: site(), host }).publishSet({
      ...{ site: 'vitam', store: 'vault', manifest },
    });
    expect(await rows({ mongod: ['echo', 'db version v6.0.5'] })).toMatchObject([{ verdict: 'go' }]);
    expect(await rows({ mongod: ['echo', 'db version v7.0.11'] })).toMatchObject([
      {
        verdict: 'warning',
        detail: expect.stringMatching(/mongod 6\.0\.27.*of drill is 7\.0\.11.*one of 6\.0/),
      },
    ]);
    expect(await rows({ host: 'elsewhere' })).toMatchObject([
      {
        verdict: 'go',
        detail: expect.stringContaining('they are on elsewhere, which has no part in this night'),
      },
    ]);
  });
});

test('a restic that is too old for a repository is a no-go', async () => {
  const vault: ResticStore = {
    ...{ kind: 'restic', repository: place.tree, password: { env: 'NOT_SET' }, environment: {} },
    ...{ shared: true, keeper: host },
  };
  const old = '#!/bin/sh\necho restic 0.12.1 compiled with go1.17.5 on linux/amd64\n';
  const checks = await withTools({ restic: old }, () => preflight(host, { ...site(), stores: { vault } }));
  expect(checks.filter(({ subject }) => subject === 'tool restic')).toMatchObject([
    { verdict: 'no-go', hint: 'restic 0.14 or later is needed' },
  ]);
});

test('a host that copies nothing and keeps no store needs neither tools nor the store', async () => {
  expect((await preflight('app-1')).map(({ subject }) => subject)).toEqual(['journal']);
});

test('a link that leaves the root is a no-go that names it', async () => {
  await symlink('/nowhere/else', inTree('out'));
  expect(await ofSubject('database offer')).toMatchObject([
    {
      verdict: 'no-go',
      detail: expect.stringContaining(`${inTree('out')} is a symbolic link to /nowhere/else`),
    },
  ]);
});

test('a root that is not there, and a file that the agent may not read, are a no-go', async () => {
  await writeFile(inTree('secret'), 'x', { mode: 0 });
  await withTools({ find: asNobody('find') }, async () => {
    expect(await ofSubject('database offer')).toMatchObject([
      {
        verdict: 'no-go',
        detail: expect.stringContaining(`may not read all of ${place.tree} on ${host}: ${inTree('secret')}`),
      },
    ]);
  });
  const gone = { subject: 'x', roots: [inTree('gone')], exclude: [], stores: [] };
  expect(await checkSource(host, gone, { signal })).toMatchObject({
    check: { verdict: 'no-go', detail: expect.stringContaining('gone') },
  });
});

test('a file that vanishes meanwhile is no error while the tree is in use, and is one for a copy', async () => {
  await writeFile(inTree('one'), 'one');
  const racing = `#!/bin/sh
PATH=\${PATH#*:}
find "$@"
echo "find: '${inTree('gone')}': No such file or directory" >&2
exit 1
`;
  await withTools({ find: racing }, async () => {
    expect(await ofSubject('database offer')).toMatchObject([{ verdict: 'go' }]);
    await expect(copy(place)).rejects.toThrow('No such file or directory');
  });
});

test('a tree that takes too long is a warning, and its size is not guessed', async () => {
  const [source] = sourcesOn(site(), planOf('offer'), host);
  if (source === undefined) throw new Error('no source');
  await withTools({ find: '#!/bin/sh\nexec sleep 60\n' }, async () => {
    expect(await checkSource(host, source, { signal, withinMs: 200 })).toMatchObject({
      check: { verdict: 'warning', detail: expect.stringContaining('within 0.2 s') },
      totalBytes: null,
    });
  });
});

test('of a MongoDB cluster each member on this host is looked through, as its copy will be', async () => {
  await mkdir(inTree('a', 'diagnostic.data'), { recursive: true });
  await writeFile(inTree('a', 'diagnostic.data', 'metrics'), Buffer.alloc(5_000));
  await writeFile(inTree('a', 'WiredTiger.wt'), Buffer.alloc(3_000));
  const sources = sourcesOn(site(), planOf('cluster'), host);
  expect(sources).toMatchObject([
    { subject: 'cluster a:1', roots: [inTree('a')], stores: ['vault'], oneOf: 'cluster/' },
  ]);
  const seen = await Promise.all(sources.map((source) => checkSource(host, source, { signal })));
  expect(seen).toMatchObject([{ check: { verdict: 'go' }, totalBytes: 3_000 }]);
});

(isRoot ? test : test.skip)('a mount in a data directory is a no-go that names it (needs root)', async () => {
  await place.mount(inTree('a', 'journal'), '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs');
  const [source] = sourcesOn(site(), planOf('cluster'), host);
  if (source === undefined) throw new Error('no source');
  expect((await checkSource(host, source, { signal })).check).toMatchObject({
    verdict: 'no-go',
    detail: expect.stringContaining(`${inTree('a', 'journal')} is a mount point`),
  });
});
