import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { ApplicationFailure } from '@temporalio/common';
import { cacheBytesWithin } from '../../activities/drill/memory.ts';
import { DEFAULT_DRILL_MEMORY_BYTES } from '../../config/schema/drill.ts';
import { cannotMount, mountFileSystem } from '../../demo/local/file-system.ts';
import type { DrillProgress } from '../../model/activities.ts';
import type { SetRef } from '../../model/manifest.ts';
import type { Argv, DrillCheck } from '../../model/site.ts';
import { database, host, nativeMongod } from '../mongodb/fixture.ts';
import { siteWith } from '../stores/support.ts';
import { createCleanup } from '../support/processes.ts';
import { createRig, standalone, type Rig } from './rig.ts';

const cleanup = createCleanup();
const reason = cannotMount();
if (reason !== null) console.warn(`a drill on a disk that fills up is not tested: ${reason}`);

let folder: string;
let rig: Rig;
let scratch: string;
/** Of a mongod, and of a tree of files. */
let opened: SetRef;
let tree: SetRef;

beforeAll(async () => {
  folder = await cleanup.folder();
  await mkdir(join(folder, 'store'));
  scratch = reason === null ? await mountFileSystem(cleanup, 'ext4', { sizeMb: 1_400 }) : folder;
  rig = createRig({
    ...siteWith(join(folder, 'store')),
    ...{ site: 'test', hosts: [host] },
    stores: { vault: { kind: 'directory', directory: join(folder, 'store'), shared: true, keeper: host } },
    drill: {
      ...{ scratch, mongod: nativeMongod as unknown as Argv, checks: [] },
      ...{ memoryBytes: DEFAULT_DRILL_MEMORY_BYTES, leaveFreeBytes: 0 },
    },
  });
  opened = (await rig.publish(await standalone(cleanup, folder), join(folder, 'data'))).set;
  await mkdir(join(folder, 'tree'));
  for (const name of ['one', 'two']) await writeFile(join(folder, 'tree', name), randomBytes(4_000_000));
  tree = (await rig.publish(null, join(folder, 'tree'))).set;
});
afterAll(cleanup.run);

describe('the memory of a scratch server', () => {
  afterEach(nothingIsLeft);

  test('is bounded by the kernel, its cache is a part of it, and it is the first to go where the host runs short', async () => {
    const seen: Record<string, string> = {};
    const { problems } = await rig
      .drills({
        onProgress: ({ phase }) => {
          const [pid] = rig.scratchServers();
          if (phase !== 'compare' || pid === undefined) return;
          for (const file of ['limits', 'oom_score_adj', 'cmdline'])
            seen[file] = readFileSync(`/proc/${pid}/${file}`, 'utf8');
        },
      })
      .drillSet(rig.where(opened));
    expect(problems).toEqual([]);
    expect(seen['limits']).toMatch(/^Max data size +2000000000 +2000000000 /m);
    expect(seen['limits']).toMatch(/^Max core file size +0 /m);
    expect(seen['oom_score_adj']?.trim()).toBe('1000');
    expect(seen['cmdline']).toContain('--wiredTigerCacheSizeGB\u00000.466\u0000');
    expect([1e9, 2e9, 8e9].map(cacheBytesWithin)).toEqual([256 * 1024 ** 2, 0.5e9, 3.5e9]);
  });

  test('that does not suffice to open the copy is no finding about the set', async () => {
    const small = rig.drills({ place: { memoryBytes: 280e6 } });
    expect(await refusalOf(small.drillSet(rig.where(opened)))).toMatch(
      /needs more than the 280\.0 MB of memory.*raise drill\.memory/,
    );
  });

  test('that a question takes up ends the server, not the agent, and is no finding about the set', async () => {
    const numbers = { $range: [0, 6_000_000] };
    const check: DrillCheck = {
      ...{ database, db: 'shop', collection: 'orders', expect: { kind: 'count', count: 1 } },
      filter: { $expr: { $gt: [{ $size: { $concatArrays: Array.from({ length: 8 }, () => numbers) } }, 0] } },
    };
    const greedy = rig.drills({ place: { memoryBytes: 600e6, checks: [check] } });
    expect(await refusalOf(greedy.drillSet(rig.where(opened)))).toMatch(
      /needs more than the 600\.0 MB of memory/,
    );
  });

  test('a question that the server refuses is no finding about the set', async () => {
    const check: DrillCheck = {
      ...{ database, db: 'shop', collection: 'orders', expect: { kind: 'count', count: 1 } },
      filter: { $nothing: 1 },
    };
    const asked = rig.drills({ place: { checks: [check] } });
    expect(await refusalOf(asked.drillSet(rig.where(opened)))).toMatch(/cannot be asked.*drill\.checks/);
  });

  test('a server that somebody kills is no finding about the set', async () => {
    const killed = rig.drills({
      onProgress: ({ phase }) => {
        if (phase === 'compare') for (const pid of rig.scratchServers()) process.kill(Number(pid), 'SIGKILL');
      },
    });
    expect(await refusalOf(killed.drillSet(rig.where(opened)))).toMatch('says nothing about the set');
  });
});

(reason === null ? describe : describe.skip)('the disk of the scratch folder', () => {
  afterEach(nothingIsLeft);
  const filler = () => join(scratch, 'filler');

  test('has room for the largest part and what must stay free, or nothing is unpacked', async () => {
    const leaveFreeBytes = freeBytes() - 100e6;
    const place = { leaveFreeBytes };
    expect(await refusalOf(rig.drills({ place }).drillSet(rig.where(tree)))).toMatch(
      /needs 5\d\d\.\d MB for files\/files\.tar\.zst \(8\.0 MB unpacked\).* free, of which .* must stay free \(drill\.leave-free\)/,
    );
    const little = rig.drills({ place: { diskBytes: 100e6 } });
    expect(await refusalOf(little.drillSet(rig.where(tree)))).toMatch(/drill\.disk lets it write 100\.0 MB/);
    expect(existsSync(join(scratch, 'coldbackup', 'test', host))).toBe(false);
  });

  test.each([
    ['while it unpacks', 'unpack', 'tree'],
    ['while a server opens', 'open', 'opened'],
  ] as const)(
    'that is full %s is no finding about the set, and the next drill proves it',
    async (_, at, of) => {
      const where = rig.where(of === 'tree' ? tree : opened);
      const full = rig.drills({ onProgress: once(at, () => fill(allBytes() - 2e6)) });
      expect(await refusalOf(full.drillSet(where))).toMatch(/the disk of the scratch folder .* ran full/);
      await nothingIsLeft();
      rmSync(filler());
      expect(await rig.drills().drillSet(where)).toMatchObject({ problems: [] });
    },
  );

  test('that has less free than must stay free ends the drill before it is full', async () => {
    const onProgress = once('open', () => fill(freeBytes() - 40e6));
    const given = rig.drills({ onProgress, place: { leaveFreeBytes: 60e6 } });
    expect(await refusalOf(given.drillSet(rig.where(opened)))).toMatch(/of which 60\.0 MB must stay free/);
    rmSync(filler());
  });

  test('is no more written than it may be', async () => {
    const inside = join(scratch, 'coldbackup', 'test', host, 'target', 'grown');
    const diskBytes = 900e6;
    const onProgress = once('open', () => execFileSync('fallocate', ['-l', '620000000', inside]));
    const given = rig.drills({ onProgress, place: { diskBytes } });
    expect(await refusalOf(given.drillSet(rig.where(opened)))).toMatch(/has written .* \(drill\.disk/);
  });

  /** As far as it goes. */
  function fill(bytes: number): void {
    spawnSync('fallocate', ['-l', String(bytes), filler()]);
    expect(freeBytes()).toBeLessThan(60e6);
  }

  /** Also of what is reserved for root. */
  function allBytes(): number {
    const { bfree, bsize } = statfsSync(scratch);
    return bfree * bsize;
  }

  function freeBytes(): number {
    const { bavail, bsize } = statfsSync(scratch);
    return bavail * bsize;
  }
});

async function nothingIsLeft(): Promise<void> {
  expect(await rig.left()).toEqual([]);
}

/** Of a drill that was not carried out: nothing is recorded then. */
async function refusalOf(drill: Promise<unknown>): Promise<string> {
  const failure = await drill.then(
    (value) => new Error(`it went through: ${JSON.stringify(value)}`),
    (error: unknown) => error,
  );
  const { type, message } = failure as ApplicationFailure;
  return type === 'DrillRefused' ? message : `not refused: ${String(failure)}`;
}

function once(at: DrillProgress['phase'], work: () => void): (progress: DrillProgress) => void {
  let done = false;
  return ({ phase }) => {
    if (phase !== at || done) return;
    done = true;
    work();
  };
}
