import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { unpackArtifact } from '../../activities/archive/unpack.ts';
import { createStoreActivities, openStore } from '../../activities/stores/activities.ts';
import { runCommand } from '../../activities/system/command.ts';
import type { Manifest } from '../../model/manifest.ts';
import type { Encryption, Site } from '../../model/site.ts';
import { locate } from '../../scripts/components.mjs';
import { withTools } from '../archive/support.ts';
import { createCleanup } from '../support/processes.ts';
import { copyTo, folderOf, manifestOf, setOf, siteOf } from './support.ts';

const missing = locate('age') === undefined ? 'age is not there: node scripts/setup.mjs age' : null;
if (missing !== null) console.warn(`encrypted stores are not tested: ${missing}`);

const set = setOf('2026-11-20T190000Z-0a1b2c3d');
const where = { site: 'vitam', store: 'vault' };
const signal = new AbortController().signal;
const mib = 1024 * 1024;

(missing === null ? describe : describe.skip)('a store that is encrypted', () => {
  const cleanup = createCleanup();
  let folder = '';
  let keys: readonly string[] = [];
  beforeEach(async () => {
    folder = await cleanup.folder();
    await mkdir(join(folder, 'store'));
    await mkdir(join(folder, 'tree', 'sub'), { recursive: true });
    await writeFile(join(folder, 'tree', 'known-name'), 'a secret line\n'.repeat(50_000));
    await writeFile(join(folder, 'tree', 'sub', 'random'), randomBytes(3 * mib));
    keys = await Promise.all(['one', 'two', 'other'].map(makeKey));
  });
  afterEach(cleanup.run);

  const makeKey = async (name: string): Promise<string> => {
    await runCommand(['age-keygen', '-o', join(folder, name)]);
    return (await runCommand(['age-keygen', '-y', join(folder, name)])).stdout.trim();
  };
  /** `identity`: of the host that reads; absent: only the public keys are there. */
  const siteWith = (identity?: string): Site => {
    const [one = '', two = ''] = keys;
    const encrypt: Encryption = {
      recipients: [one, two],
      ...(identity !== undefined && { identity: join(folder, identity) }),
    };
    const directory = join(folder, 'store');
    return siteOf({ kind: 'directory', directory, shared: true, keeper: 'mongo-1', encrypt });
  };
  const publish = async (): Promise<Manifest> => {
    const artifact = await copyTo(siteWith(), 'mongo-1', set, 'offer/tree.tar.zst', join(folder, 'tree'));
    const manifest = manifestOf(set, [artifact]);
    await createStoreActivities({ site: siteWith(), host: 'mongo-1' }).publishSet({ ...where, manifest });
    return manifest;
  };
  const verify = (manifest: Manifest, identity?: string) =>
    createStoreActivities({ site: siteWith(identity), host: 'mongo-1' }).verifySet({
      ...where,
      set,
      manifest,
    });
  const unpack = async ({ artifacts }: Manifest, identity?: string) => {
    const [artifact] = artifacts;
    if (artifact === undefined) throw new Error('no artifact');
    const target = join(folder, `unpacked-${identity ?? 'none'}`);
    await mkdir(target);
    const store = openStore(siteWith(identity), 'mongo-1', 'vault');
    const unpacked = await unpackArtifact(
      { store, set, artifact, target, links: 'below-target' },
      { signal },
    );
    return { ...unpacked, tree: join(target, folder, 'tree') };
  };
  const inSet = (name: string): string => join(folderOf(join(folder, 'store'), set), name);

  test('holds neither content nor names of files, and says to which keys', async () => {
    const manifest = await publish();
    expect(manifest.artifacts[0]?.encrypted).toEqual({ age: keys.slice(0, 2) });
    for (const name of ['offer/tree.tar.zst', 'offer/tree.tar.zst.files']) {
      const bytes = await readFile(inSet(name));
      expect(bytes.subarray(0, 21).toString()).toBe('age-encryption.org/v1');
      expect(bytes.includes('known-name')).toBe(false);
    }
  });

  test('is checked by sha256sum, and read by age, zstd and tar alone', async () => {
    await publish();
    await runCommand(['sha256sum', '--check', '--quiet', 'SHA256SUMS'], { cwd: inSet('') });
    await mkdir(join(folder, 'by-hand'));
    const script = 'age -d -i "$1" "$2" | zstd -dc | tar -x -p -C "$3" -f -';
    const args = [join(folder, 'two'), inSet('offer/tree.tar.zst'), join(folder, 'by-hand')];
    await runCommand(['bash', '-o', 'pipefail', '-c', script, 'restore', ...args]);
    await runCommand(['diff', '-r', join(folder, 'tree'), join(folder, 'by-hand', folder, 'tree')]);
  });

  test('its bytes are verified without the identity, and its content only with it', async () => {
    const manifest = await publish();
    expect(await verify(manifest)).toMatchObject({ problems: [], storedOnly: ['offer/tree.tar.zst'] });
    expect(await verify(manifest, 'not-there')).toMatchObject({ storedOnly: ['offer/tree.tar.zst'] });
    const whole = await verify(manifest, 'one');
    expect(whole.problems).toEqual([]);
    expect(whole).not.toHaveProperty('storedOnly');
    expect((await verify(manifest, 'other')).problems).toContainEqual(
      expect.stringMatching(/cannot be decrypted: age ended with exit code 1: .*no identity matched/s),
    );
  });

  test('a byte that was changed is found with and without the identity', async () => {
    const manifest = await publish();
    const file = await open(inSet('offer/tree.tar.zst'), 'r+');
    await file.write(Buffer.from('X'), 0, 1, 2 * mib);
    await file.close();
    expect((await verify(manifest)).problems).toEqual([
      expect.stringContaining('was changed, its SHA-256 is'),
    ]);
    const { problems } = await verify(manifest, 'two');
    expect(problems).toContainEqual(expect.stringContaining('was changed, its SHA-256 is'));
    expect(problems).toContainEqual(expect.stringContaining('cannot be decrypted'));
  });

  test('is unpacked where the identity is; elsewhere it is said what is missing', async () => {
    const manifest = await publish();
    const { problems, tree } = await unpack(manifest, 'two');
    expect(problems).toEqual([]);
    await runCommand(['diff', '-r', join(folder, 'tree'), tree]);
    await expect(unpack(manifest)).rejects.toThrow(
      /is encrypted to age1.*name the identity under stores.vault/,
    );
    await expect(unpack(manifest, 'not-there')).rejects.toThrow(/not-there is not on this host/);
    expect((await unpack(manifest, 'other')).problems).toContainEqual(
      expect.stringContaining('cannot be decrypted'),
    );
  });

  test('a copy whose encryption fails, or whose store does, ends and leaves nothing', async () => {
    const copy = () => copyTo(siteWith(), 'mongo-1', set, 'offer/tree.tar.zst', join(folder, 'tree'));
    await withTools({ age: '#!/bin/sh\nhead -c 1000000; echo no entropy >&2; exit 3\n' }, async () => {
      await expect(copy()).rejects.toThrow(/"age","--encrypt".* exit code 3: no entropy/);
    });
    expect(await readdir(inSet('offer'))).toEqual([]);
    await rename(join(folder, 'store'), join(folder, 'away'));
    await expect(copy()).rejects.toThrow('is its disk mounted?');
  });
});
