import { createHash } from 'node:crypto';
import {
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  rm,
  stat,
  statfs,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createStoreActivities, openStore } from '../../activities/stores/activities.ts';
import { checkStore } from '../../activities/stores/checks.ts';
import { recordProof } from '../../activities/stores/proofs.ts';
import { pruneSets } from '../../activities/stores/prune.ts';
import type { Store } from '../../activities/stores/store.ts';
import { checkRoomAhead, growthOf, mostSets, roomLeft } from '../../activities/stores/room.ts';
import { recordVerification } from '../../activities/stores/verified.ts';
import type { Retention } from '../../model/site.ts';
import { runCommand } from '../../activities/system/command.ts';
import type { Artifact, Manifest, Proof } from '../../model/manifest.ts';
import type { Plan } from '../../model/plan.ts';
import { copyTo, folderOf, manifestOf, setOf, siteOf, siteWith } from './support.ts';

const set = setOf('2026-11-20T190000Z-0a1b2c3d');
const where = { site: 'vitam', store: 'vault' };
const dayMs = 24 * 3_600_000;

let folder = '';
let directory = '';
let tree = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coldbackup-sets-'));
  directory = join(folder, 'store');
  tree = join(folder, 'tree');
  await mkdir(directory);
  await mkdir(join(tree, 'sub'), { recursive: true });
  await writeFile(join(tree, 'one'), 'content of one');
  await writeFile(join(tree, 'new\nline'), 'odd');
  await writeFile(join(tree, 'sub', 'random'), createHash('sha512').update('seed').digest());
  await writeFile(join(tree, 'text'), 'a line that is there often\n'.repeat(5_000));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const stores = (host = 'mongo-1') => createStoreActivities({ site: siteWith(directory), host });
const planWith = (keep: Plan['keep']): Plan => ({ site: 'vitam', procedure: 'nightly', keep }) as Plan;

async function publishOne(id = set.id, changes: Partial<Manifest> = {}): Promise<Manifest> {
  const artifact = await copyTo(siteWith(directory), 'mongo-1', setOf(id), 'offer/tree.tar.zst', tree);
  const manifest = manifestOf(setOf(id), [artifact], changes);
  await stores().publishSet({ ...where, manifest });
  return manifest;
}

describe('publishing', () => {
  test('makes a set that is listed, shown, and checked by sha256sum alone', async () => {
    const manifest = await publishOne();
    const [summary, ...others] = await stores().listSets(where);
    expect(others).toEqual([]);
    expect(summary).toMatchObject({ set, store: 'vault', format: 1, artifacts: 1, complete: true });
    expect(await stores().showSet({ ...where, set })).toEqual(manifest);
    const { stdout } = await runCommand(['sha256sum', '-c', 'SHA256SUMS'], { cwd: folderOf(directory, set) });
    expect(stdout).toBe('offer/tree.tar.zst: OK\noffer/tree.tar.zst.files: OK\nmanifest.json: OK\n');
    expect((await stat(directory)).mode & 0o777).not.toBe(0);
    expect((await stat(folderOf(directory, set))).mode & 0o077).toBe(0);
  });

  test('again is an attempt whose answer got lost; with another manifest it is refused', async () => {
    const manifest = await publishOne();
    await expect(stores().publishSet({ ...where, manifest })).resolves.toMatchObject({ set });
    const other = { ...manifest, warnings: ['another'] };
    await expect(stores().publishSet({ ...where, manifest: other })).rejects.toThrow('published already');
    expect(await stores().showSet({ ...where, set })).toEqual(manifest);
  });

  test('fails while an artifact is missing or cut short, and names it', async () => {
    const artifact = await copyTo(siteWith(directory), 'mongo-1', set, 'offer/tree.tar.zst', tree);
    const publish = (artifacts: readonly Artifact[]) =>
      stores().publishSet({ ...where, manifest: manifestOf(set, artifacts) });
    await expect(publish([artifact, { ...artifact, name: 'offer/other.tar.zst' }])).rejects.toThrow(
      'offer/other.tar.zst is missing',
    );
    await truncate(join(folderOf(directory, set), artifact.fileList.name), 3);
    await expect(publish([artifact])).rejects.toThrow(
      /offer\/tree\.tar\.zst\.files has 3 bytes instead of \d+/,
    );
    expect(await stores().listSets(where)).toEqual([]);
  });

  test('a partial set is never listed, nor are folders of somebody else', async () => {
    await copyTo(siteWith(directory), 'mongo-1', set, 'offer/tree.tar.zst', tree);
    await mkdir(join(directory, 'vitam', 'nightly', 'lost+found'));
    await mkdir(folderOf(directory, setOf('rubbish')));
    await writeFile(join(folderOf(directory, setOf('rubbish')), 'manifest.json'), '{"format":1,');
    await writeFile(join(directory, 'vitam', 'nightly', 'README'), 'hello');
    expect(await stores().listSets(where)).toEqual([]);
    await expect(stores().showSet({ ...where, set })).rejects.toThrow(
      `There is no set vitam/nightly/${set.id} in store vault`,
    );
  });

  test('a manifest of 1 GB is not read, is listed as one that cannot be, and keeps all others from being removed', async () => {
    await publishOne();
    const huge = setOf('2026-11-01T190000Z-ffffffff');
    const file = join(folderOf(directory, huge), 'manifest.json');
    await mkdir(folderOf(directory, huge), { recursive: true });
    await writeFile(file, JSON.stringify({ format: 1, set: huge }));
    await truncate(file, 2 ** 30);
    expect((await stores().listSets(where)).map((one) => [one.set.id, one.unreadable])).toEqual([
      [huge.id, 'has 1073741824 bytes; more than 67108864 are not read'],
      [set.id, undefined],
    ]);
    await expect(stores().showSet({ ...where, set: huge })).rejects.toThrow('cannot be read');
    const now = new Date(Date.now() + 30 * dayMs).toISOString();
    const prune = { plan: planWith({ last: 1 }), store: 'vault', now };
    await expect(stores().pruneSets(prune)).rejects.toThrow('cannot be read');
    expect((await stat(file)).size).toBe(2 ** 30);
  });

  test('a manifest that cannot be read is listed, warned of at preflight, and kept', async () => {
    const manifest = await publishOne();
    const torn = join(folderOf(directory, set), 'manifest.json');
    const [artifact] = manifest.artifacts;
    const leadsOut = { ...manifest, artifacts: [{ ...artifact, name: '../../../offer/tree.tar.zst' }] };
    for (const text of ['{ torn', JSON.stringify(leadsOut), JSON.stringify({ ...manifest, night: 1 })]) {
      await writeFile(torn, text);
      const [listed] = await stores().listSets(where);
      expect(listed).toMatchObject({ set, format: 0, publishedAt: '', unreadable: expect.any(String) });
      await expect(stores().showSet({ ...where, set })).rejects.toThrow('--mend puts it back');
    }
    await writeFile(torn, JSON.stringify(leadsOut));
    expect((await stores().listSets(where))[0]?.unreadable).toBe('artifacts.0.name: leads out of the set');
    const plan = { ...planWith({ last: 1 }), stores: { vault: { keeper: 'mongo-1' } } } as unknown as Plan;
    expect(await checkStore(siteWith(directory), 'vault', 'mongo-1', plan)).toContainEqual(
      expect.objectContaining({
        verdict: 'warning',
        detail: `damaged: ${set.id} (its manifest cannot be read)`,
      }),
    );
    await publishOne('2026-11-22T190000Z-0a1b2c3d');
    const now = new Date(Date.now() + 30 * dayMs).toISOString();
    await expect(stores().pruneSets({ plan, store: 'vault', now })).rejects.toThrow('cannot be read');
    const [explained] = await stores().explainSets({ ...where, now });
    expect(explained?.verdicts[0]).toMatchObject({ stays: true, because: ['its manifest cannot be read'] });
  });

  test('files of 1 GB beside a manifest are not read, and nothing else suffers from them', async () => {
    const manifest = await publishOne();
    for (const name of ['pin.json', 'proofs.json', 'verified.json', 'SHA256SUMS']) {
      await writeFile(join(folderOf(directory, set), name), '');
      await truncate(join(folderOf(directory, set), name), 2 ** 30);
    }
    const [listed] = await stores().listSets(where);
    expect(listed).toMatchObject({ set, complete: true, pinned: 'its pin.json cannot be read' });
    expect(listed).not.toHaveProperty('proof');
    expect(listed).not.toHaveProperty('verified');
    expect((await stores().verifySet({ ...where, set, manifest })).problems).toEqual([
      'SHA256SUMS: has 1073741824 bytes; more than 67108864 are not read',
    ]);
  });

  test('a set of a later format is listed as such, and neither shown nor removed', async () => {
    await publishOne();
    const later = setOf('2026-11-01T190000Z-ffffffff');
    await mkdir(folderOf(directory, later), { recursive: true });
    await writeFile(
      join(folderOf(directory, later), 'manifest.json'),
      JSON.stringify({ format: 2, set: later, volumes: [] }),
    );
    const formats = (await stores().listSets({ ...where, procedure: 'nightly' })).map(({ format }) => format);
    expect(formats).toEqual([2, 1]);
    await expect(stores().showSet({ ...where, set: later })).rejects.toThrow('manifest of format 2');
    const now = new Date(Date.now() + 30 * dayMs).toISOString();
    expect(await stores().pruneSets({ plan: planWith({ last: 1 }), store: 'vault', now })).toEqual([]);
    expect(await stores().listSets(where)).toHaveLength(2);
  });
});

describe('verifying', () => {
  const verify = async (manifest: Manifest) =>
    (await stores().verifySet({ ...where, set: manifest.set, manifest })).problems;
  const archive = (): string => join(folderOf(directory, set), 'offer/tree.tar.zst');

  test('finds nothing in a set that is as it was written', async () => {
    const manifest = await publishOne();
    const seen: number[] = [];
    const activities = createStoreActivities({
      site: siteWith(directory),
      host: 'mongo-1',
      during: () => ({
        signal: new AbortController().signal,
        onProgress: ({ checkedBytes }) => seen.push(checkedBytes),
      }),
    });
    const sizeBytes = manifest.artifacts[0]?.sizeBytes;
    expect(await activities.verifySet({ ...where, set, manifest })).toEqual({
      ...{ set, store: 'vault', checkedBytes: sizeBytes, artifacts: 1, elsewhere: [], problems: [] },
    });
    expect(seen.at(-1)).toBe(sizeBytes);
  });

  test('finds every flipped byte of an archive', async () => {
    const manifest = await publishOne();
    const whole = await readFile(archive());
    for (let at = 0; at < whole.length; at += Math.ceil(whole.length / 40)) {
      const flipped = Buffer.from(whole);
      flipped[at] = (flipped[at] ?? 0) ^ 0x10;
      await writeFile(archive(), flipped);
      expect(await verify(manifest)).toContainEqual(
        expect.stringContaining('offer/tree.tar.zst: was changed, its SHA-256 is'),
      );
    }
  });

  test('finds an archive that is cut short, is missing, or has bytes too many', async () => {
    const manifest = await publishOne();
    const whole = await readFile(archive());
    await writeFile(archive(), whole.subarray(0, whole.length - 7));
    expect((await verify(manifest)).join('\n')).toMatch(
      /has \d+ bytes instead of \d+[^]*cannot be decompressed/,
    );
    await writeFile(archive(), Buffer.concat([whole, Buffer.from('x')]));
    expect((await verify(manifest)).join('\n')).toMatch(/has \d+ bytes instead of \d+/);
    await rm(archive());
    expect(await verify(manifest)).toEqual(['offer/tree.tar.zst: is missing']);
  });

  test('finds a changed digest in the file list, in SHA256SUMS and in the manifest', async () => {
    const manifest = await publishOne();
    const sums = join(folderOf(directory, set), 'SHA256SUMS');
    const text = await readFile(sums, 'utf8');
    await writeFile(
      sums,
      text.replace(/^./, (digit) => (digit === '0' ? '1' : '0')),
    );
    expect(await verify(manifest)).toEqual(['SHA256SUMS: says other digests than the manifest']);
    await writeFile(sums, text);
    const list = await readFile(`${archive()}.files`, 'utf8');
    const one = list.split('\n').find((line) => line.endsWith('/one')) ?? '';
    await writeFile(
      `${archive()}.files`,
      list.replace(
        one,
        one.replace(/^./, (digit) => (digit === '0' ? '1' : '0')),
      ),
    );
    const problems = await verify(manifest);
    expect(problems).toHaveLength(2);
    expect(problems[0]).toContain('offer/tree.tar.zst.files: was changed');
    expect(problems[1]).toContain(`${tree.slice(1)}/one was changed`);
  });

  test('finds a changed manifest that still can be read, as sha256sum does; sets of earlier versions have no digest of it', async () => {
    const manifest = await publishOne();
    const at = (name: string) => join(folderOf(directory, set), name);
    const text = await readFile(at('manifest.json'), 'utf8');
    await writeFile(at('manifest.json'), text.replace('"night": "2026-11-20"', '"night": "2026-11-21"'));
    expect(await verify(manifest)).toEqual([
      'manifest.json: was changed, its SHA-256 is not the one in SHA256SUMS',
    ]);
    await expect(
      runCommand(['sha256sum', '-c', 'SHA256SUMS'], { cwd: folderOf(directory, set) }),
    ).rejects.toThrow('exit code 1');
    const sums = await readFile(at('SHA256SUMS'), 'utf8');
    await writeFile(at('SHA256SUMS'), sums.replace(/^.* manifest.json\n/m, ''));
    expect(await verify(manifest)).toEqual([]);
  });

  test('names files that are missing in an archive, too many, or changed in it', async () => {
    const manifest = await publishOne();
    await rm(join(tree, 'one'));
    await writeFile(join(tree, 'two'), 'new');
    await writeFile(join(tree, 'text'), 'another content');
    const pack = `tar -C / --format=posix --sort=name -cf - "$1" | zstd -q -c > "$2"`;
    await runCommand(['bash', '-c', pack, 'pack', tree.slice(1), archive()]);
    const named = (await verify(manifest)).map((problem) => problem.replace(tree.slice(1), 'TREE'));
    expect(named).toContain('offer/tree.tar.zst: TREE/one is missing');
    expect(named).toContain('offer/tree.tar.zst: TREE/two is not in the list of files');
    expect(named).toContainEqual(expect.stringMatching(/^offer\/tree\.tar\.zst: TREE\/text was changed/));
  });
});

describe('retention', () => {
  test('removes what it lets go, wholly, and clears what was left a day ago', async () => {
    const ids = ['2026-11-17', '2026-11-18', '2026-11-19', '2026-11-20'].map(
      (day) => `${day}T190000Z-0a1b2c3d`,
    );
    for (const id of ids) await publishOne(id);
    const partial = setOf('2026-11-16T190000Z-0a1b2c3d');
    const fresh = setOf('2026-11-15T190000Z-0a1b2c3d');
    for (const each of [partial, fresh]) {
      await copyTo(siteWith(directory), 'mongo-1', each, 'offer/tree.tar.zst', tree);
    }
    await mkdir(join(directory, 'vitam', 'nightly', 'by hand'));
    await makeOld(folderOf(directory, partial));
    await makeOld(join(directory, 'vitam', 'nightly', 'by hand'));
    await makeOld(folderOf(directory, fresh));
    const now = new Date();
    await utimes(join(folderOf(directory, fresh), 'offer', 'tree.tar.zst'), now, now);
    const removed = await stores().pruneSets({
      plan: planWith({ daily: 2 }),
      store: 'vault',
      now: now.toISOString(),
    });
    expect(removed.map(({ id }) => id)).toEqual([ids[1], ids[0]]);
    expect((await readdir(join(directory, 'vitam', 'nightly'))).sort()).toEqual(
      [fresh.id, ids[2], ids[3], 'by hand'].sort(),
    );
  });

  test('a pinned set stays until it is unpinned, and every set is explained', async () => {
    const ids = ['2026-11-17', '2026-11-18'].map((day) => `${day}T190000Z-0a1b2c3d`);
    for (const id of ids) await publishOne(id);
    const [pinned = ''] = ids;
    const now = new Date().toISOString();
    const prune = { plan: planWith({ last: 1 }), store: 'vault', now };
    const pin = { by: 'ana', why: 'before the migration', at: now };
    await stores().pinSet({ ...where, set: setOf(pinned), pin });
    expect(await stores().pruneSets(prune)).toEqual([]);
    expect((await stores().listSets(where)).map((set) => set.pinned)).toEqual([
      'before the migration (ana)',
      undefined,
    ]);
    await writeFile(join(folderOf(directory, setOf(pinned)), 'pin.json'), '{ torn');
    expect(await stores().pruneSets(prune)).toEqual([]);
    await stores().pinSet({ ...where, set: setOf(pinned), pin: null });
    const [explained] = await stores().explainSets({ ...where, now });
    expect(explained?.verdicts.map(({ because }) => because)).toEqual([
      ['no rule of retention', 'the newest complete set'],
      ['no rule of retention'],
    ]);
    expect(await stores().pruneSets(prune)).toEqual([setOf(pinned)]);
    await expect(stores().pinSet({ ...where, set: setOf(pinned), pin })).rejects.toThrow('There is no set');
  });

  test('one set is removed by hand whatever the rules say, and none that is kept from them; it is said why, and what to do', async () => {
    const [plain, damaged, used, pinned, proven, newest] = [15, 16, 17, 18, 19, 20].map(
      (day) => `2026-11-${day}T190000Z-0a1b2c3d`,
    ) as [string, string, string, string, string, string];
    const store = openStore(siteWith(directory), 'mongo-1', 'vault');
    const now = new Date().toISOString();
    const until = new Date(Date.now() + dayMs).toISOString();
    for (const id of [plain, damaged, used, pinned, proven, newest]) await publishOne(id);
    await recordVerification(store, setOf(damaged), {
      ...{ at: now, checkedBytes: 1, problems: ['a digest is wrong'], mended: [] },
    });
    const use = { what: 'drill', workflowId: 'w', runId: 'r', until };
    await stores().useSet({ ...where, set: setOf(used), use });
    await stores().pinSet({ ...where, set: setOf(pinned), pin: { by: 'ana', why: 'audit', at: now } });
    await recordProof(store, setOf(proven), { runId: 'r', at: now, passed: true } as Proof);
    const remove = (id: string, dryRun = false) =>
      stores().removeSet({ ...where, set: setOf(id), now, dryRun });
    const left = async () => (await stores().listSets(where)).map((one) => one.set.id);

    for (const dryRun of [true, false])
      expect(await Promise.all([newest, proven, pinned, used].map((id) => remove(id, dryRun)))).toEqual([
        ['it is the newest complete set; let a newer one be made first (coldbackup run vitam nightly)'],
        ['it is the newest proven set; let a newer one be proven first (coldbackup drill vitam)'],
        [`it is pinned: audit (ana); if it may go, coldbackup sets unpin vitam ${pinned} --store vault`],
        [`it is in use: drill, at most until ${until}; wait until that is over`],
      ]);
    expect(await remove(damaged, true)).toEqual([]);
    expect(await left()).toHaveLength(6);
    const manifest = join(folderOf(directory, setOf(used)), 'manifest.json');
    const text = await readFile(manifest, 'utf8');
    await writeFile(manifest, '{ torn');
    expect(await remove(plain)).toEqual([
      `its store is in doubt: manifest.json of ${used} cannot be read: repair it, or move it away`,
    ]);
    await writeFile(manifest, text.replace('"format": 1', '"format": 2'));
    expect(await remove(used)).toEqual(['a later version wrote it: remove it with that version']);
    await writeFile(manifest, text);

    for (const id of [plain, damaged, '2026-11-01T190000Z-0a1b2c3d']) expect(await remove(id)).toEqual([]);
    expect(await left()).toEqual([used, pinned, proven, newest]);
    expect((await readdir(join(directory, 'vitam', 'nightly'))).sort()).toEqual(await left());
  });

  test('a set in use stays until everybody who reads it is done, or their time is over', async () => {
    const [older, newer] = [setOf('2026-11-17T190000Z-0a1b2c3d'), setOf('2026-11-18T190000Z-0a1b2c3d')];
    for (const { id } of [older, newer]) await publishOne(id);
    const inMs = (ms: number) => new Date(Date.now() + ms).toISOString();
    const use = (runId: string, until: string | null) =>
      stores().useSet({
        ...{ ...where, set: older },
        use: { what: `drill ${runId}`, workflowId: 'w', runId, until },
      });
    const prune = (now = inMs(0)) => stores().pruneSets({ plan: planWith({ last: 1 }), store: 'vault', now });
    await use('one', inMs(dayMs));
    await use('two', inMs(dayMs));
    await use('one', null);
    expect(await prune()).toEqual([]);
    expect((await stores().listSets(where)).map(({ uses = [] }) => uses.map(({ what }) => what))).toEqual([
      ['drill two'],
      [],
    ]);
    await use('two', null);
    expect(await readdir(folderOf(directory, older))).not.toContain('in-use.json');
    await use('killed', inMs(1_000));
    expect(await prune()).toEqual([]);
    await writeFile(join(folderOf(directory, older), 'in-use.json'), '{ torn');
    expect(await prune(inMs(30 * dayMs))).toEqual([]);
    await use('later', inMs(1_000));
    expect(await prune(inMs(2_000))).toEqual([older]);
    await expect(use('late', inMs(dayMs))).rejects.toThrow('is no longer in store vault');
    await use('two', null);
    expect(await readdir(join(directory, 'vitam', 'nightly'))).toEqual([newer.id]);
  });

  test('a set that is pinned, or put to use, while others are being removed stays', async () => {
    const ids = [17, 18, 19, 20].map((day) => `2026-11-${day}T190000Z-0a1b2c3d`);
    for (const id of ids) await publishOne(id);
    const store = openStore(siteWith(directory), 'mongo-1', 'vault');
    const until = new Date(Date.now() + dayMs).toISOString();
    const removing: Store = {
      ...store,
      async remove(gone) {
        await store.remove(gone);
        const pin = { by: 'ana', why: 'at the last moment', at: until };
        await stores().pinSet({ ...where, set: setOf(ids[1] ?? ''), pin });
        const use = { what: 'drill', workflowId: 'w', runId: 'r', until };
        await stores().useSet({ ...where, set: setOf(ids[0] ?? ''), use });
      },
    };
    expect(await pruneSets(removing, planWith({ last: 1 }), Date.now())).toEqual([setOf(ids[2] ?? '')]);
    expect((await stores().listSets(where)).map((one) => one.set.id)).toEqual([ids[0], ids[1], ids[3]]);
  });

  test('what cannot be read beside its manifest keeps a set, and lets it count for nothing', async () => {
    const ids = [17, 18, 19].map((day) => `2026-11-${day}T190000Z-0a1b2c3d`);
    for (const id of ids) await publishOne(id);
    const [oldest = '', , newest = ''] = ids;
    const damage = (id: string, name: string) =>
      writeFile(join(folderOf(directory, setOf(id)), name), '{ torn');
    await damage(oldest, 'proofs.json');
    await damage(newest, 'verified.json');
    const prune = { plan: planWith({ last: 1 }), store: 'vault', now: new Date().toISOString() };
    expect(await stores().pruneSets(prune)).toEqual([]);
    expect((await stores().listSets(where)).map(({ doubt }) => doubt)).toEqual([
      'proofs.json cannot be read',
      undefined,
      'verified.json cannot be read',
    ]);
    await rm(join(folderOf(directory, setOf(newest)), 'verified.json'));
    expect(await stores().pruneSets(prune)).toEqual([setOf(ids[1] ?? '')]);
  });

  test('nothing of a procedure goes while its listing is in doubt, and it is said why', async () => {
    const ids = [17, 18, 19].map((day) => `2026-11-${day}T190000Z-0a1b2c3d`);
    for (const id of ids) await publishOne(id);
    const left = setOf('2026-11-01T190000Z-0a1b2c3d');
    await copyTo(siteWith(directory), 'mongo-1', left, 'offer/tree.tar.zst', tree);
    await makeOld(folderOf(directory, left));
    const now = new Date().toISOString();
    const prune = { plan: planWith({ last: 1 }), store: 'vault', now };
    const all = () => readdir(join(directory, 'vitam', 'nightly'));
    const before = await all();
    const manifest = join(folderOf(directory, setOf(ids[2] ?? '')), 'manifest.json');
    const text = await readFile(manifest, 'utf8');

    await writeFile(manifest, text.slice(0, 100));
    await expect(stores().pruneSets(prune)).rejects.toThrow(
      `Nothing of vitam/nightly is removed in store vault (${directory}) on host mongo-1: manifest.json of ${ids[2]} cannot be read`,
    );
    const [explained] = await stores().explainSets({ ...where, now });
    expect(explained?.doubt).toContain(`manifest.json of ${ids[2]} cannot be read`);
    expect([...(explained?.verdicts ?? []), ...(explained?.remains ?? [])].map(({ stays }) => stays)).toEqual(
      [true, true, true, true],
    );
    const plan = { site: 'vitam', procedure: 'nightly', keep: null };
    const keeper = { ...plan, stores: { vault: { keeper: 'mongo-1', shared: true } } };
    expect(await checkStore(siteWith(directory), 'vault', 'mongo-1', keeper)).toContainEqual(
      expect.objectContaining({ verdict: 'warning', detail: expect.stringContaining(ids[2] ?? '') }),
    );

    // It cannot even be looked at.
    await rm(manifest);
    await mkdir(manifest);
    await expect(stores().pruneSets(prune)).rejects.toThrow(/manifest.json of .* cannot be read/);
    await rm(manifest, { recursive: true });

    // The server does not show what this run has just published.
    await expect(stores().pruneSets({ ...prune, published: setOf(ids[2] ?? '') })).rejects.toThrow(
      `it does not list ${ids[2]}, which was just published`,
    );
    expect((await all()).sort()).toEqual(before.sort());
    await writeFile(manifest, text);
    expect(await stores().pruneSets({ ...prune, published: setOf(ids[2] ?? '') })).toHaveLength(2);
    expect(await all()).toEqual([ids[2]]);
  });

  test.each([
    ['pin.json', '{"by":"ana","why":"kept","at":"2026-11-01"}'],
    ['pin.json', '{ torn'],
    ['proofs.json', '{"format":1,"proofs":[]}'],
    ['in-use.json', '{ torn'],
  ])('a folder that has lost its manifest, and has a %s of %s, is not cleared', async (name, content) => {
    await publishOne();
    const lost = join(folderOf(directory, set));
    await rm(join(lost, 'manifest.json'));
    await writeFile(join(lost, name), content);
    await makeOld(lost);
    const now = new Date().toISOString();
    const prune = () => stores().pruneSets({ plan: planWith({ last: 1 }), store: 'vault', now });
    await prune();
    expect(await readdir(lost)).toContain('offer');
    const [explained] = await stores().explainSets({ ...where, now });
    const because = [`manifest.json is missing, and ${name} is there`];
    expect(explained?.remains).toEqual([{ set, stays: true, because }]);
    // What a set was unpinned with, or whose end was killed, keeps nothing.
    await rm(join(lost, name));
    await writeFile(join(lost, 'pin.json'), '');
    await makeOld(lost);
    await prune();
    expect(await readdir(join(directory, 'vitam', 'nightly'))).toEqual([]);
  });

  test('of a procedure that has never published a set the remains are shown, and cleared', async () => {
    const left = [1, 2].map((day) => setOf(`2026-11-0${day}T190000Z-0a1b2c3d`));
    for (const one of left) await copyTo(siteWith(directory), 'mongo-1', one, 'offer/tree.tar.zst', tree);
    await makeOld(folderOf(directory, left[0] ?? set));
    const now = new Date().toISOString();
    const explain = async () => (await stores().explainSets({ ...where, now }))[0];
    expect(await explain()).toEqual({
      ...{ procedure: 'nightly', keep: null, verdicts: [] },
      remains: [
        { set: left[0], stays: false, because: ['never published'] },
        { set: left[1], stays: true, because: ['no manifest yet, and changed within a day'] },
      ],
    });
    expect(await stores().pruneSets({ plan: planWith(null), store: 'vault', now })).toEqual([]);
    expect((await explain())?.remains?.map(({ set: { id } }) => id)).toEqual([left[1]?.id]);
  });

  test('what is not there any more when it is looked at is not old', async () => {
    const store = openStore(siteWith(directory), 'mongo-1', 'vault');
    const gone = setOf('2026-11-01T190000Z-0a1b2c3d');
    const removed: string[] = [];
    const hasLost: Store = {
      ...store,
      folders: async () => [gone],
      remove: async ({ id }) => void removed.push(id),
    };
    await pruneSets(hasLost, planWith({ last: 1 }), Date.now());
    expect(removed).toEqual([]);
  });

  test('each store can have rules of its own; in one without nothing goes', async () => {
    const plan = { site: 'vitam', procedure: 'nightly', keep: null, stores: {} };
    await publishOne();
    const rulesOf = async (keepIn: Record<string, Retention>) => {
      const nightly = { steps: [], keepIn, upBy: '08:30', restart: { kind: 'when-done' } } as const;
      const procedures = { nightly: { ...nightly, onFailure: 'fail', whenHeld: 'refuse' } as const };
      const site = { ...siteWith(directory), procedures };
      const now = new Date().toISOString();
      const [explained] = await createStoreActivities({ site, host: 'mongo-1' }).explainSets({
        ...where,
        now,
      });
      return explained?.keep;
    };
    expect(await rulesOf({ vault: { last: 3 }, offsite: { daily: 14 } })).toEqual({ last: 3 });
    expect(await rulesOf({ offsite: { daily: 14 } })).toBeNull();
    const spec = { kind: 'directory', directory, shared: true, keeper: 'mongo-1', quotaBytes: 1 } as const;
    const ahead = async (keepIn: Record<string, Retention>) =>
      (await checkStore(siteOf(spec), 'vault', 'mongo-1', { ...plan, keepIn }))[1]?.detail;
    expect(await ahead({ vault: { last: 3 } })).toContain('keep lets at most 3 sets stay');
    expect(await ahead({ offsite: { last: 3 } })).toContain('nothing ever goes');
  });

  test('removes nothing without a rule', async () => {
    await publishOne('2026-11-17T190000Z-0a1b2c3d');
    await publishOne('2026-11-18T190000Z-0a1b2c3d');
    const now = new Date().toISOString();
    expect(await stores().pruneSets({ plan: planWith(null), store: 'vault', now })).toEqual([]);
    expect(await stores().listSets(where)).toHaveLength(2);
  });
});

describe('a store that is not shared', () => {
  const disks = (): Record<string, string> => ({
    'mongo-1': join(folder, 'disk-1'),
    'mongo-2': join(folder, 'disk-2'),
  });
  const site = () => siteWith(disks(), false);
  const on = (host: string) => createStoreActivities({ site: site(), host });
  async function publishBoth(id = set.id): Promise<Manifest> {
    const artifacts = [
      await copyTo(site(), 'mongo-1', setOf(id), 'offer/one.tar.zst', tree),
      await copyTo(site(), 'mongo-2', setOf(id), 'offer/two.tar.zst', tree),
    ];
    const manifest = manifestOf(setOf(id), artifacts);
    await on('mongo-2').publishSet({ ...where, manifest });
    await on('mongo-1').publishSet({ ...where, manifest });
    return manifest;
  }
  beforeEach(async () => {
    for (const disk of Object.values(disks())) await mkdir(disk);
  });

  test('each host publishes and verifies its own artifacts, and says who holds the others', async () => {
    const manifest = await publishBoth();
    for (const [host, other] of [
      ['mongo-1', 'mongo-2'],
      ['mongo-2', 'mongo-1'],
    ] as const) {
      const verification = await on(host).verifySet({ ...where, set, manifest });
      expect(verification).toMatchObject({ artifacts: 1, elsewhere: [other], problems: [] });
      await runCommand(['sha256sum', '-c', '--quiet', 'SHA256SUMS'], {
        cwd: folderOf(disks()[host] ?? '', set),
      });
    }
    await rm(join(folderOf(disks()['mongo-2'] ?? '', set), 'offer/two.tar.zst'));
    const { problems } = await on('mongo-2').verifySet({ ...where, set, manifest });
    expect(problems).toEqual(['offer/two.tar.zst: is missing']);
  });

  test('a host whose own manifest is damaged says so, and gets it back from the keeper', async () => {
    const manifest = await publishBoth();
    const own = join(folderOf(disks()['mongo-2'] ?? '', set), 'manifest.json');
    const text = await readFile(own, 'utf8');
    const problems = async () => (await on('mongo-2').verifySet({ ...where, set, manifest })).problems;
    for (const damaged of ['{ torn', text.replace('"complete": true', '"complete": false')]) {
      await writeFile(own, damaged);
      expect(await problems()).toEqual([
        expect.stringMatching(/^manifest\.json: (cannot be read|was changed)/),
      ]);
      expect(await on('mongo-2').mendSet({ ...where, manifest, from: [] })).toEqual([
        'manifest.json from the keeper',
      ]);
      expect(await readFile(own, 'utf8')).toBe(text);
      expect(await problems()).toEqual([]);
    }
  });

  test('what the keeper removed goes on the other hosts too, and nothing that they cannot know', async () => {
    await copyTo(site(), 'mongo-2', setOf('2026-11-01T190000Z-0a1b2c3d'), 'offer/two.tar.zst', tree);
    await makeOld(folderOf(disks()['mongo-2'] ?? '', setOf('2026-11-01T190000Z-0a1b2c3d')));
    const prune = { plan: planWith({ last: 1 }), store: 'vault', now: new Date().toISOString() };
    await on('mongo-2').pruneSets({ ...prune, removed: [] });
    expect(await readdir(join(disks()['mongo-2'] ?? '', 'vitam', 'nightly'))).toHaveLength(1);

    await publishBoth('2026-11-19T190000Z-0a1b2c3d');
    await publishBoth('2026-11-20T190000Z-0a1b2c3d');
    const later = setOf('2026-11-30T190000Z-0a1b2c3d');
    await copyTo(site(), 'mongo-2', later, 'offer/two.tar.zst', tree);
    const others = () => readdir(join(disks()['mongo-2'] ?? '', 'vitam', 'nightly'));
    await makeOld(folderOf(disks()['mongo-2'] ?? '', later));
    await on('mongo-2').pruneSets({ ...prune, removed: [] });
    expect(await others()).toContain(later.id);
    await on('mongo-2').pruneSets({ ...prune, removed: [], has: [later] });
    expect(await others()).toContain(later.id);
    await on('mongo-2').pruneSets({ ...prune, removed: [], has: [] });
    expect(await others()).not.toContain(later.id);

    const removed = await on('mongo-1').pruneSets(prune);
    expect(removed).toEqual([setOf('2026-11-19T190000Z-0a1b2c3d')]);
    await on('mongo-2').pruneSets({ ...prune, removed });
    const left = () =>
      Promise.all(Object.values(disks()).map((disk) => readdir(join(disk, 'vitam', 'nightly'))));
    expect(await left()).toEqual([['2026-11-20T190000Z-0a1b2c3d'], ['2026-11-20T190000Z-0a1b2c3d']]);

    // By hand, as the workflow asks for it.
    const { now } = prune;
    const byHand = setOf('2026-11-19T190000Z-0a1b2c3d');
    await publishBoth(byHand.id);
    expect(await on('mongo-1').removeSet({ ...where, set: byHand, now, dryRun: false })).toEqual([]);
    await on('mongo-2').pruneSets({ plan: planWith(null), store: 'vault', now, removed: [byHand] });
    expect(await left()).toEqual([['2026-11-20T190000Z-0a1b2c3d'], ['2026-11-20T190000Z-0a1b2c3d']]);
  });

  test('what the keeper removed without telling anybody goes on the other hosts the next time', async () => {
    const ids = [1, 2, 3, 4, 5].map((day) => `2026-11-0${day}T190000Z-0a1b2c3d`);
    const onTheOther = () => readdir(join(disks()['mongo-2'] ?? '', 'vitam', 'nightly'));
    for (const id of ids) await publishBoth(id);
    await on('mongo-1').pinSet({
      ...where,
      set: setOf(ids[0] ?? ''),
      pin: { at: '', by: 'ana', why: 'kept' },
    });
    const prune = { plan: planWith({ last: 2 }), store: 'vault', now: new Date().toISOString() };
    const removed = await on('mongo-1').pruneSets(prune);
    expect(removed.map(({ id }) => id).sort()).toEqual(ids.slice(1, 3));
    expect((await onTheOther()).sort()).toEqual(ids); // Killed before it could tell.
    const use = { what: 'drill', workflowId: 'w', runId: 'r' };
    const until = new Date(Date.now() + dayMs).toISOString();
    const used = { ...where, set: setOf(ids[2] ?? '') };
    await on('mongo-2').useSet({ ...used, use: { ...use, until } });
    await on('mongo-2').pruneSets({ ...prune, removed: [used.set] });
    expect((await onTheOther()).sort()).toEqual(ids);
    await on('mongo-2').useSet({ ...used, use: { ...use, until: null } });
    const again = await on('mongo-1').pruneSets(prune);
    const lost = { ...prune, removed: again, has: [] };
    await on('mongo-2').pruneSets(lost);
    expect((await onTheOther()).sort()).toEqual(ids);
    const has = (await on('mongo-1').listSets(where)).map((one) => one.set);
    await on('mongo-2').pruneSets({ ...lost, has });
    expect((await onTheOther()).sort()).toEqual([ids[0], ids[3], ids[4]]);
  });
});

describe('names and tokens', () => {
  test.each(['..', '.', '', 'a/b', 'nul\0'])('no set is looked for under %j', async (name) => {
    const bad = { site: 'vitam', procedure: name, id: set.id };
    await expect(stores().showSet({ ...where, set: bad })).rejects.toThrow('cannot be a name in a store');
    await expect(stores().listSets({ ...where, procedure: name })).rejects.toThrow('cannot be a name');
    await expect(stores().writeStoreToken({ ...where, token: `../${name}` })).rejects.toThrow(
      'cannot be a name',
    );
  });

  test.each(['../../x.tar.zst', '/etc/x', 'a//b', 'a/../b', 'nul\0.tar.zst'])(
    'no artifact can be called %j',
    async (name) => {
      await expect(copyTo(siteWith(directory), 'mongo-1', set, name, tree)).rejects.toThrow(
        'cannot be a name',
      );
    },
  );

  test('another site, or a store that the site file does not name, is refused', async () => {
    await expect(stores().listSets({ site: 'other', store: 'vault' })).rejects.toThrow('serves site vitam');
    await expect(stores().listSets({ site: 'vitam', store: 'toString' })).rejects.toThrow('it has vault');
  });

  test('a token that one host wrote is read by another only where the store is shared', async () => {
    const token = { ...where, token: 'run-1' };
    await stores('mongo-1').writeStoreToken(token);
    expect(await stores('mongo-2').readStoreToken(token)).toBe(true);
    expect(await stores('mongo-2').readStoreToken({ ...where, token: 'run-2' })).toBe(false);
    await stores('mongo-1').removeStoreToken(token);
    expect(await stores('mongo-2').readStoreToken(token)).toBe(false);
    expect(await readdir(directory)).toEqual([]);
  });
});

test('before the first set, the check of a store compares its room with what is to be copied', async () => {
  const plan = { site: 'vitam', procedure: 'nightly', keep: { last: 1 }, stores: {} };
  const { bavail, bsize } = await statfs(directory);
  const verdictFor = async (copyBytes: number) =>
    (await checkStore(siteWith(directory), 'vault', 'mongo-1', plan, copyBytes))[0];
  expect(await verdictFor(1_500_000)).toMatchObject({
    verdict: 'go',
    detail: expect.stringMatching(/ free in .*; at most 1\.5 MB to copy from here, before compression$/),
  });
  expect(await verdictFor(bavail * bsize * 2)).toMatchObject({
    verdict: 'warning',
    hint: expect.stringContaining('make room'),
  });
  expect(await verdictFor(bavail * bsize * 10)).toMatchObject({ verdict: 'no-go' });
});

test('the check of a store warns when much more is to be copied than the last set had room for', async () => {
  const plan = { site: 'vitam', procedure: 'nightly', keep: { last: 1 }, stores: {} };
  const { bavail, bsize } = await statfs(directory);
  const [artifact] = (await publishOne()).artifacts;
  const [half] = await checkStore(siteWith(directory), 'vault', 'mongo-1', plan, bavail * bsize * 0.5);
  expect(half).toMatchObject({ verdict: 'go' });
  const compressed = (artifact?.sizeBytes ?? 0) / (artifact?.contentBytes ?? 1);
  const copyBytes = (bavail * bsize * 2) / compressed;
  const [more] = await checkStore(siteWith(directory), 'vault', 'mongo-1', plan, copyBytes);
  expect(more).toMatchObject({ verdict: 'warning', detail: expect.stringContaining('the last set took') });
});

test('the check of a store tells its room, and a no-go when the last set would not fit again', async () => {
  const plan = { site: 'vitam', procedure: 'nightly', keep: { last: 1 }, stores: {} };
  const [first] = await checkStore(siteWith(directory), 'vault', 'mongo-1', plan);
  expect(first).toMatchObject({ verdict: 'go', detail: expect.stringContaining('no set yet') });
  const manifest = await publishOne();
  const [fits] = await checkStore(siteWith(directory), 'vault', 'mongo-1', plan);
  expect(fits).toMatchObject({ verdict: 'go', detail: expect.stringContaining('the last set took') });
  const huge = manifest.artifacts.map((artifact) => ({ ...artifact, sizeBytes: 1e18 }));
  await writeFile(
    join(folderOf(directory, set), 'manifest.json'),
    JSON.stringify({ ...manifest, artifacts: huge }),
  );
  const [tooLarge] = await checkStore(siteWith(directory), 'vault', 'mongo-1', plan);
  expect(tooLarge).toMatchObject({ verdict: 'no-go', hint: expect.stringContaining('make room') });
  await expect(checkStore(siteWith(join(folder, 'gone')), 'vault', 'mongo-1', plan)).rejects.toThrow(
    'mounted',
  );
  expect((await readdir(directory)).sort()).toEqual(['vitam']);
});

async function makeOld(path: string): Promise<void> {
  await runCommand(['find', path, '-exec', 'touch', '-d', '2 days ago', '{}', '+']);
}

test('says before the disk is full that it will be, by what retention keeps and what the last set took', async () => {
  const plan = { site: 'vitam', procedure: 'nightly', keep: { last: 1 }, stores: {} };
  const ahead = async (keep: Retention | null) =>
    (await checkStore(siteWith(directory), 'vault', 'mongo-1', { ...plan, keep }))[1];
  expect(await ahead({ last: 14 })).toBeUndefined();
  const manifest = await publishOne();
  expect(await ahead({ last: 14 })).toBeUndefined();
  const { bavail, bsize } = await statfs(directory);
  const large = manifest.artifacts.map((artifact) => ({ ...artifact, sizeBytes: (bavail * bsize) / 10.5 }));
  await writeFile(
    join(folderOf(directory, set), 'manifest.json'),
    JSON.stringify({ ...manifest, artifacts: large }),
  );
  expect(await ahead({ last: 10 })).toBeUndefined();
  expect(await ahead({ last: 4, weekly: 10 })).toMatchObject({
    verdict: 'warning',
    detail: expect.stringMatching(/keep lets at most 14 sets stay, 1 are there; .* full after (9|10) more/),
  });
  expect(await ahead(null)).toMatchObject({ detail: expect.stringContaining('nothing ever goes') });
});

test('a quota counts as the room there is, where the disk has more, and also where a store cannot say', async () => {
  const plan = { site: 'vitam', procedure: 'nightly', keep: { last: 4 }, stores: {} };
  const { artifacts } = await publishOne();
  const setBytes = artifacts.reduce((sum, one) => sum + one.sizeBytes + one.fileList.sizeBytes, 0);
  const spec = { kind: 'directory', directory, shared: true, keeper: 'mongo-1' } as const;
  const withQuota = (quotaBytes: number) =>
    checkStore(siteOf({ ...spec, quotaBytes }), 'vault', 'mongo-1', plan);
  expect(await withQuota(1e9)).toMatchObject([
    {
      verdict: 'go',
      detail: expect.stringMatching(/^1000\.0 MB free in .*; its sets have .* of quota 1\.0 GB; /),
    },
  ]);
  expect(await withQuota(setBytes * 3.3)).toMatchObject([
    { verdict: 'go' },
    { verdict: 'warning', detail: expect.stringContaining('full after 2 more') },
  ]);
  expect(await withQuota(setBytes)).toMatchObject([{ verdict: 'no-go' }, { verdict: 'warning' }]);
  expect(roomLeft(null, 100, 130)).toBe(0);
  expect(roomLeft(null, undefined, 130)).toBe(null);
});

test('sets that grow are expected to grow on, by the median of their steps', () => {
  const check = { host: 'mongo-1', subject: 'store vault' };
  const room = { setBytes: 100, there: 4, kept: 14, freeBytes: 1_100 };
  expect([growthOf([]), growthOf([1, 2, 3]), growthOf([100, 90, 80, 70])]).toEqual([0, 0, 0]);
  expect(growthOf([70, 80, 90, 100])).toBe(0.1);
  expect(growthOf([70, 80, 500, 90, 100])).toBe(0.1);
  expect(checkRoomAhead(check, { ...room, growthBytes: 0 })).toEqual([]);
  expect(checkRoomAhead(check, { ...room, growthBytes: 10 })).toMatchObject([
    {
      verdict: 'warning',
      detail: expect.stringMatching(/each 10 B more than the one before: full after 7 more/),
      hint: 'make room for 1.6 kB, or keep fewer sets',
    },
  ]);
});

test('counts what rules keep at most; within a time, by the days on which a set is made', () => {
  expect(mostSets(null, 7)).toBe(null);
  expect(mostSets({ last: 3, monthly: 12 }, 7)).toBe(15);
  expect(mostSets({ withinDays: 42 }, 5)).toBe(30);
  expect(mostSets({ withinDays: 42 }, 1)).toBe(6);
});
