import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createStoreActivities } from '../../activities/stores/activities.ts';
import { runCommand } from '../../activities/system/command.ts';
import { cannotMount, mountFileSystem } from '../../demo/local/file-system.ts';
import type { Manifest } from '../../model/manifest.ts';
import type { Site } from '../../model/site.ts';
import { createCleanup } from '../support/processes.ts';
import { copyTo, folderOf, manifestOf, setOf, siteOf } from './support.ts';

const reason = cannotMount();
if (reason !== null) console.warn(`a disk that cannot be read in one place is not tested: ${reason}`);

const set = setOf('2026-11-20T190000Z-0a1b2c3d');
const artifact = 'offer/tree.tar.zst';

(reason === null ? describe : describe.skip)('a store on a disk that cannot be read in one place', () => {
  const cleanup = createCleanup();
  afterAll(cleanup.run);
  let site: Site;
  let directory = '';
  let manifest: Manifest;
  const stores = () => createStoreActivities({ site, host: 'mongo-1' });
  const where = { site: 'vitam', store: 'vault' };

  beforeAll(async () => {
    const mounted = await mountFileSystem(cleanup, 'btrfs', { sizeMb: 192 });
    directory = join(mounted, 'store');
    const [far, tree] = [await cleanup.folder(), await cleanup.folder()];
    await mkdir(directory);
    await writeFile(join(tree, 'random'), randomBytes(3_000_000));
    const directoryStore = (place: string) =>
      ({ kind: 'directory', directory: place, shared: true, keeper: 'mongo-1' }) as const;
    const vault = directoryStore(directory);
    site = { ...siteOf(vault), stores: { vault, far: directoryStore(far) } };
    manifest = manifestOf(set, [await copyTo(site, 'mongo-1', set, artifact, tree)]);
    await stores().publishSet({ ...where, manifest });
    await runCommand(['cp', '-a', '.', far], { cwd: directory });
    await makeUnreadable(join(folderOf(directory, set), artifact), join(dirname(mounted), 'btrfs.img'));
  });

  const verify = () => stores().verifySet({ ...where, set, manifest });
  const ofFar = () => manifest.artifacts.map((one) => ({ ...one, store: 'far' }));

  test('is told as damage of the one file, after it was read again', async () => {
    await expect(readFile(join(folderOf(directory, set), artifact))).rejects.toThrow('EIO');
    const { problems } = await verify();
    expect(problems[0]).toMatch(/^Store vault .* could not read .*tree\.tar\.zst: EIO.* Its disk/);
    expect(problems).toContainEqual(expect.stringContaining(`${artifact}: was changed`));
    expect(problems.join()).not.toContain(`${artifact}.files`);
  });

  test('is mended from another store, also when a third one cannot be read', async () => {
    const from = ['gone', 'far'].map((store) => ({
      store,
      manifest: { ...manifest, artifacts: ofFar().map((one) => ({ ...one, store })) },
    }));
    const gone = { kind: 'directory', directory: '/dev/null/gone', shared: true, keeper: 'mongo-1' } as const;
    site = { ...site, stores: { ...site.stores, gone } };
    expect(await stores().mendSet({ ...where, manifest, from })).toEqual([`${artifact} from far`]);
    expect((await verify()).problems).toEqual([]);
  });

  /** One flipped byte below the file system: its own checksum no longer fits, and it gives an error instead of the data. */
  async function makeUnreadable(file: string, image: string): Promise<void> {
    await runCommand(['sync', '-f', file]);
    const written = await readFile(file);
    const piece = written.subarray(written.length >> 1, (written.length >> 1) + 64);
    const at = (await readFile(image)).indexOf(piece);
    expect(at).toBeGreaterThan(0);
    const handle = await open(image, 'r+');
    await handle.write(Buffer.from([(piece[0] ?? 0) ^ 1]), 0, 1, at);
    await handle.sync();
    await handle.close();
    await runCommand(['dd', `if=${file}`, 'iflag=nocache', 'count=0', 'status=none']);
  }
});
