import { randomBytes } from 'node:crypto';
import { mkdirSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createStoreActivities, openStore } from '../../activities/stores/activities.ts';
import { makeFolders } from '../../activities/system/folders.ts';
import { cannotMount, mountFileSystem } from '../../demo/local/file-system.ts';
import type { Manifest } from '../../model/manifest.ts';
import { createCleanup } from '../support/processes.ts';
import { copyTo, failureOf, manifestOf, setOf, siteWith } from './support.ts';

const reason = cannotMount();
if (reason !== null) console.warn(`a store on a full disk is not tested: ${reason}`);

(reason === null ? describe : describe.skip)('a store on a disk that is full', () => {
  const cleanup = createCleanup();
  let directory = '';
  let tree = '';
  let manifest: Manifest;
  const where = { site: 'vitam', store: 'vault' };
  const stores = () => createStoreActivities({ site: siteWith(directory), host: 'mongo-1' });
  beforeAll(async () => {
    directory = join(await mountFileSystem(cleanup, 'ext4', { sizeMb: 16 }), 'store');
    mkdirSync(directory);
    tree = await cleanup.folder();
    writeFileSync(join(tree, 'random'), randomBytes(1_000_000));
    const earlier = setOf('2026-11-19T190000Z-0a1b2c3d');
    manifest = manifestOf(earlier, [
      await copyTo(siteWith(directory), 'mongo-1', earlier, 'offer/tree.tar.zst', tree),
    ]);
    await stores().publishSet({ ...where, manifest });
    const filled = () => {
      for (let count = 0; ; count++) mkdirSync(join(directory, `filler-${count}`));
    };
    expect(() => {
      for (;;) writeFileSync(join(directory, 'rubbish'), Buffer.alloc(4096), { flag: 'a' });
    }).toThrow('ENOSPC');
    expect(filled).toThrow('ENOSPC');
  });
  afterAll(cleanup.run);

  test('is told as one, also when not even the folder of a set can be made', async () => {
    const store = openStore(siteWith(directory), 'mongo-1', 'vault');
    const set = setOf('2026-11-20T190000Z-0a1b2c3d');
    const error = await failureOf(store.create(set, 'db/whole.tar.zst', 'writer'));
    expect(error.message).toMatch(/could not begin db\/whole.tar.zst: ENOSPC.*The store is full: make room/);
  });

  test('folders above are made where they are missing, and those that were made are told', async () => {
    const folder = join(await cleanup.folder(), 'a/b/c');
    expect((await makeFolders(folder)).map((made) => made.slice(folder.length - 5))).toEqual([
      'a',
      'a/b',
      'a/b/c',
    ]);
    expect(await makeFolders(folder)).toEqual([]);
    await expect(makeFolders(join(directory, 'x/y'))).rejects.toThrow('ENOSPC');
  });

  test('leaves earlier sets whole, and a copy that finds no room leaves nothing that counts', async () => {
    const set = setOf('2026-11-20T190000Z-0a1b2c3d');
    const rubbish = join(directory, 'rubbish');
    truncateSync(rubbish, statSync(rubbish).size - 300_000);
    const copied = copyTo(siteWith(directory), 'mongo-1', set, 'offer/tree.tar.zst', tree);
    await expect(copied).rejects.toThrow('ENOSPC');
    expect((await stores().listSets(where)).map((one) => one.set)).toEqual([manifest.set]);
    const verified = await stores().verifySet({ ...where, set: manifest.set, manifest });
    expect(verified).toMatchObject({ artifacts: 1, problems: [] });
    expect(verified.checkedBytes).toBeGreaterThan(1_000_000);
  });
});
