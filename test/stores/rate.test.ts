import { afterAll, expect, test } from '@jest/globals';
import { openStore } from '../../activities/stores/activities.ts';
import { createCleanup } from '../support/processes.ts';
import { setOf, siteOf } from './support.ts';

const cleanup = createCleanup();
afterAll(cleanup.run);

test('a rate holds for all that goes to a store at once, and again for what is read', async () => {
  const directory = await cleanup.folder();
  const rateBytesPerSecond = 4_000_000;
  const site = siteOf({ kind: 'directory', directory, shared: true, keeper: 'mongo-1', rateBytesPerSecond });
  const set = setOf('2026-11-20T190000Z-0a1b2c3d');
  const beganMs = performance.now();
  const write = async (file: string): Promise<void> => {
    const part = await openStore(site, 'mongo-1', 'vault').create(set, file, 'one');
    for (let i = 0; i < 30; i += 1) await part.write(Buffer.alloc(100_000));
    await part.seal();
  };
  await Promise.all(['a', 'b'].map(write));
  const wroteMs = performance.now();
  // 6 MB, and what passes at once.
  expect(wroteMs - beganMs).toBeGreaterThan(1_300);
  let bytes = 0;
  for await (const chunk of openStore(site, 'mongo-1', 'vault').read(set, 'a')) bytes += chunk.length;
  expect(bytes).toBe(3_000_000);
  const readMs = performance.now() - wroteMs;
  expect(readMs).toBeGreaterThan(600);
  expect(readMs).toBeLessThan(30_000);
});
