import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { copyToStores } from '../../activities/archive/copy-artifact.ts';
import { createStoreActivities, openStore } from '../../activities/stores/activities.ts';
import { runCommand } from '../../activities/system/command.ts';
import { inStore, type Copies, type Manifest } from '../../model/manifest.ts';
import type { Site } from '../../model/site.ts';
import { withTools } from '../archive/support.ts';
import { createCleanup } from '../support/processes.ts';
import { noMinio, startMinio } from './rigs/s3.ts';
import { noSshd, startSshd, type Sshd } from './rigs/sftp.ts';
import { startWire, type Wire } from './rigs/wire.ts';
import { manifestOf, setOf, siteOf } from './support.ts';

const reason = noSshd ?? noMinio;
if (reason !== null) console.warn(`several stores at once are not tested: ${reason}`);
const mib = 1024 * 1024;
const names = ['vault', 'far', 'cloud'];

(reason === null ? describe : describe.skip)('one read into a directory, over SFTP and to S3', () => {
  const cleanup = createCleanup();
  let site: Site;
  let tree = '';
  let tar = '';
  let sshd: Sshd;
  let wire: Wire;
  let count = 0;
  beforeAll(async () => {
    const folder = await cleanup.folder();
    tree = join(folder, 'tree');
    await mkdir(tree);
    await mkdir(join(folder, 'store'));
    for (let i = 0; i < 12; i += 1) await writeFile(join(tree, `random-${i}`), randomBytes(4 * mib));
    await runCommand(['age-keygen', '-o', join(folder, 'key')]);
    const key = (await runCommand(['age-keygen', '-y', join(folder, 'key')])).stdout.trim();
    sshd = await startSshd(cleanup);
    wire = await startWire(cleanup, sshd.port);
    const vault = {
      kind: 'directory',
      directory: join(folder, 'store'),
      shared: true,
      keeper: 'mongo-1',
    } as const;
    const { spec } = await startMinio(cleanup);
    site = {
      ...siteOf(vault),
      stores: {
        vault,
        far: { ...sshd.spec, port: wire.port },
        cloud: { ...spec, encrypt: { recipients: [key], identity: join(folder, 'key') } },
      },
    };
    const real = (await runCommand(['sh', '-c', 'command -v tar'])).stdout.trim();
    tar = `#!/bin/sh\necho read >> ${join(folder, 'reads')}\nexec ${real} "$@"\n`;
  });
  afterAll(cleanup.run);

  const newSet = () => {
    count += 1;
    return setOf(`2026-11-20T19${String(count).padStart(4, '0')}Z-0a1b2c3d`);
  };
  const copy = (
    set: ReturnType<typeof newSet>,
    needs: 'all' | 'any',
    onProgress: (readBytes: number) => void = () => undefined,
  ): Promise<Copies> =>
    copyToStores(
      {
        ...{ site, host: 'mongo-1', attempt: 1, roots: [tree], exclude: [] },
        input: {
          ref: { site: site.site, host: 'mongo-1', journal: 'j', epoch: 3, siteDigest: 'd' },
          ...{ id: '6/backup', position: '6/backup', set, artifact: 'offer/tree.tar.zst' },
          source: { kind: 'files', database: 'offer' },
        },
        hooks: {
          signal: new AbortController().signal,
          onProcess: () => undefined,
          onProgress: ({ readBytes }) => onProgress(readBytes),
        },
      },
      names,
      needs,
    );
  const publishInAll = async () => {
    const set = newSet();
    const { artifacts } = await copy(set, 'all');
    const stores = createStoreActivities({ site, host: 'mongo-1' });
    const manifestIn = (name: string) =>
      manifestOf(
        set,
        artifacts.filter(({ store }) => store === name),
      );
    for (const store of names)
      await stores.publishSet({ site: site.site, store, manifest: manifestIn(store) });
    return { set, artifacts, stores, manifestIn };
  };
  const problemsIn = async (store: string, set: ReturnType<typeof newSet>, { artifacts }: Copies) => {
    const manifest = manifestOf(
      set,
      artifacts.filter((artifact) => artifact.store === store),
    );
    const stores = createStoreActivities({ site, host: 'mongo-1' });
    await stores.publishSet({ site: site.site, store, manifest });
    const { problems, checkedBytes } = await stores.verifySet({ site: site.site, store, set, manifest });
    expect(checkedBytes).toBeGreaterThan(40 * mib);
    return problems;
  };
  const sizeIn = (store: string, set: ReturnType<typeof newSet>) =>
    openStore(site, 'mongo-1', store).sizeBytes(set, 'offer/tree.tar.zst');

  test('is one read, and each store verifies by itself, the encrypted one too', async () => {
    const set = newSet();
    const copies = await withTools({ tar }, () => copy(set, 'all'));
    expect(copies.failed).toEqual([]);
    expect(copies.artifacts.map(({ store }) => store)).toEqual(names);
    const [vault, far, cloud] = copies.artifacts;
    expect(far?.sha256).toBe(vault?.sha256);
    expect(cloud?.sha256).not.toBe(vault?.sha256);
    expect(cloud).toMatchObject({ contentBytes: vault?.contentBytes, files: 12 });
    for (const store of names) expect(await problemsIn(store, set, copies)).toEqual([]);
    expect((await runCommand(['cat', join(tree, '..', 'reads')])).stdout).toBe('read\n');
  });

  test('what is damaged in one is replaced by the good copy of another, and by no other one', async () => {
    const { set, stores, manifestIn } = await publishInAll();
    const mend = (store: string, from: readonly string[]) =>
      stores.mendSet({
        ...{ site: site.site, store, manifest: manifestIn(store) },
        from: from.map((other) => ({ store: other, manifest: manifestIn(other) })),
      });
    const problems = async (store: string) =>
      (await stores.verifySet({ site: site.site, store, set, manifest: manifestIn(store) })).problems;
    const archive = join(tree, '..', 'store', set.site, set.procedure, set.id, 'offer', 'tree.tar.zst');
    const flipBit = async () => {
      const bytes = await readFile(archive);
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
      await writeFile(archive, bytes);
    };

    expect(await mend('vault', ['far'])).toEqual([]);
    await flipBit();
    await rm(`${archive}.files`);
    expect(await mend('vault', ['cloud'])).toEqual([]);
    expect(await problems('vault')).not.toEqual([]);
    expect(await mend('vault', ['cloud', 'far'])).toEqual([
      'offer/tree.tar.zst from far',
      'offer/tree.tar.zst.files from far',
    ]);
    expect(await problems('vault')).toEqual([]);

    await openStore(site, 'mongo-1', 'far').drop(set, 'offer/tree.tar.zst');
    expect(await mend('far', ['vault'])).toEqual(['offer/tree.tar.zst from vault']);
    expect(await problems('far')).toEqual([]);
    await flipBit();
    await openStore(site, 'mongo-1', 'far').drop(set, 'offer/tree.tar.zst');
    expect(await mend('far', ['vault'])).toEqual([]);
    expect(await sizeIn('far', set)).toBeNull();
    expect(await problems('cloud')).toEqual([]);
  });

  test('a damaged manifest is put back from a store that holds the same, and from no other one', async () => {
    const { set, artifacts, stores, manifestIn } = await publishInAll();
    const textIn = (store: string) => openStore(site, 'mongo-1', store).readText(set, 'manifest.json');
    const write = (store: string, text: string) =>
      openStore(site, 'mongo-1', store).replaceText(set, 'manifest.json', text);
    const mend = (store: string, from: string, given: Manifest) =>
      stores.mendSet({
        ...{ site: site.site, store, manifest: given },
        from: [{ store: from, manifest: manifestIn(from) }],
      });
    const good = (await textIn('vault')) ?? '';

    const changed = good.replace(`"sha256": "${artifacts[0]?.sha256 ?? ''}`, `"sha256": "${'0'.repeat(64)}`);
    expect(changed).not.toBe(good);
    await write('vault', changed);
    const given = JSON.parse(changed) as Manifest;
    expect(await mend('vault', 'cloud', given)).toEqual([]);
    expect(await textIn('vault')).toBe(changed);
    expect(await mend('vault', 'far', given)).toEqual(['manifest.json from far']);
    expect(await textIn('vault')).toBe(good);
    // What is encrypted for nobody else has no twin, and is not replaced by what is not encrypted.
    await write('cloud', '{ torn');
    const twin = inStore(manifestIn('vault'), 'vault', 'cloud');
    expect(await mend('cloud', 'vault', twin)).toEqual([]);
    expect(await textIn('cloud')).toBe('{ torn');
    expect(await sizeIn('cloud', set)).not.toBe(artifacts[0]?.sizeBytes);
  });

  test('while one is away the others wait, and all are whole: it goes on where it was', async () => {
    const set = newSet();
    let isCut = false;
    let waitedMs = 0;
    const before = wire.carriedBytes();
    const copies = await copy(set, 'all', (readBytes) => {
      if (readBytes < 8 * mib || isCut) return;
      isCut = true;
      const cutMs = performance.now();
      wire.lead(null);
      wire.cut();
      setTimeout(() => {
        wire.lead(sshd.port);
        waitedMs = performance.now() - cutMs;
      }, 1_000);
    });
    expect(waitedMs).toBeGreaterThan(900);
    expect(copies.failed).toEqual([]);
    expect(copies.artifacts.map(({ store }) => store)).toEqual(names);
    for (const store of names) expect(await problemsIn(store, set, copies)).toEqual([]);
    expect(wire.carriedBytes() - before).toBeLessThan(1.4 * 48 * mib);
  });

  test('with any, a store that fails in the middle is left out and named; the others are whole', async () => {
    const set = newSet();
    const other = await startSshd(cleanup);
    let isCut = false;
    const copies = await copy(set, 'any', (readBytes) => {
      if (readBytes < 8 * mib || isCut) return;
      isCut = true;
      wire.lead(other.port);
      wire.cut();
    });
    wire.lead(sshd.port);
    expect(isCut).toBe(true);
    expect(copies.artifacts.map(({ store }) => store)).toEqual(['vault', 'cloud']);
    expect(copies.failed).toEqual([{ store: 'far', why: expect.stringContaining('is another server than') }]);
    for (const store of ['vault', 'cloud']) expect(await problemsIn(store, set, copies)).toEqual([]);
    expect(await sizeIn('far', set)).toBeNull();
  });

  test('with all, a store that fails ends the copy, and nothing of it is in any', async () => {
    const set = newSet();
    const taken = await openStore(site, 'mongo-1', 'far').create(set, 'offer/tree.tar.zst', 'another');
    await taken.write(Buffer.from('taken'));
    await taken.seal();
    await expect(copy(set, 'all')).rejects.toThrow(/Store far .* sealed already/);
    expect(await Promise.all(['vault', 'cloud'].map((store) => sizeIn(store, set)))).toEqual([null, null]);
    expect(await sizeIn('far', set)).toBe(5);
  });

  test('where every store fails, each is named', async () => {
    const set = newSet();
    for (const store of names) {
      const part = await openStore(site, 'mongo-1', store).create(set, 'offer/tree.tar.zst', 'another');
      await part.seal();
    }
    await expect(copy(set, 'any')).rejects.toThrow(/Store vault [^]*Store far |Store far [^]*Store vault /);
  });
});
