import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { openStore } from '../../activities/stores/activities.ts';
import { makeFolders } from '../../activities/system/folders.ts';
import { cannotMount, mountFileSystem } from '../../demo/local/file-system.ts';
import { createCleanup } from '../support/processes.ts';
import { failureOf, setOf, siteWith } from './support.ts';

const reason = cannotMount();
if (reason !== null) console.warn(`a store on a full disk is not tested: ${reason}`);

(reason === null ? describe : describe.skip)('a store on a disk that is full', () => {
  const cleanup = createCleanup();
  let directory = '';
  beforeAll(async () => {
    directory = join(await mountFileSystem(cleanup, 'ext4', { sizeMb: 16 }), 'store');
    mkdirSync(directory);
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
});
