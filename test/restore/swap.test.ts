import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { RestorePlace } from '../../activities/restore/place.ts';
import { makeStaging, removeStaging, writeVerified } from '../../activities/restore/staging.ts';
import { existing, moveAside, moveBack, observeData } from '../../activities/restore/swap.ts';

const set = { site: 'vitam', procedure: 'nightly', id: '2026-11-20T190000Z-0a1b2c3d' };
const wanted = { set, artifact: 'offer/files.tar.zst' };

let folder: string;
let place: RestorePlace;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'coldbackup-swap-'));
  place = {
    staging: join(folder, 'a.coldbackup-0123456789ab'),
    roots: ['a', 'b'].map((name) => ({
      path: join(folder, name),
      aside: join(folder, `${name}.before-20261121T180501Z-0a1b2c3d`),
    })),
  };
  data('a', 'old a');
  data('b', 'old b');
  const tree = await makeStaging(place);
  for (const name of ['a', 'b']) {
    mkdirSync(join(tree, name));
    writeFileSync(join(tree, name, 'file'), `new ${name}`);
  }
  writeVerified(place, { ...wanted, roots: ['a', 'b'] });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('data that is moved aside', () => {
  test('is replaced by what was unpacked, and stays beside it', async () => {
    const aside = await moveAside(place, await found(), wanted);
    expect(aside).toEqual(place.roots.map((root) => root.aside));
    expect([content('a'), content('b')]).toEqual(['new a', 'new b']);
    expect(readFileSync(join(aside[0] ?? '', 'file'), 'utf8')).toBe('old a');
  });

  test('comes back, once or several times, and nothing of the other is left after all', async () => {
    const before = await found();
    await moveAside(place, before, wanted);
    await moveBack(place, before);
    await moveBack(place, before);
    await expectAsBefore(before);
  });

  test.each([
    ['before anything was moved', []],
    ['between the two renames of the first root', ['a>aside']],
    ['between the roots', ['a>aside', 'new>a']],
    ['between the two renames of the last root', ['a>aside', 'new>a', 'b>aside']],
  ])('comes back after a crash %s; or the moving goes on where it was', async (_, moves) => {
    const before = await found();
    const crash = () => {
      for (const move of moves) {
        const [first, second] = place.roots;
        if (move === 'a>aside') renameSync(first?.path ?? '', first?.aside ?? '');
        if (move === 'new>a') renameSync(join(place.staging, 'tree/a'), first?.path ?? '');
        if (move === 'b>aside') renameSync(second?.path ?? '', second?.aside ?? '');
      }
    };
    crash();
    await moveAside(place, before, wanted);
    expect([content('a'), content('b')]).toEqual(['new a', 'new b']);
    await moveBack(place, before);
    expect([content('a'), content('b')]).toEqual(['old a', 'old b']);
    await removeStaging(place);
    await expectAsBefore(before);
  });

  test('of a restore that crashed while it was put back comes back too', async () => {
    const before = await found();
    await moveAside(place, before, wanted);
    renameSync(place.roots[0]?.path ?? '', join(place.staging, 'given-up-0'));
    await moveBack(place, before);
    await expectAsBefore(before);
  });

  test('where there was nothing, nothing is left; what somebody else made there stays', async () => {
    rmSync(join(folder, 'b'), { recursive: true });
    const before = await found();
    expect(await moveAside(place, before, wanted)).toEqual([place.roots[0]?.aside]);
    expect(content('b')).toBe('new b');
    await moveBack(place, before);
    expect(readdirSync(folder)).toEqual(['a', 'a.coldbackup-0123456789ab']);

    await makeStaging(place);
    data('b', 'by somebody else');
    await moveBack(place, before);
    expect(content('b')).toBe('by somebody else');
  });

  test('is not touched where somebody else has put other data meanwhile', async () => {
    const before = await found();
    renameSync(join(folder, 'b'), join(folder, 'c'));
    data('b', 'by somebody else');
    await expect(moveAside(place, before, wanted)).rejects.toThrow('somebody else replaced it');
    await expect(moveBack(place, before)).rejects.toThrow('nothing is moved');
    expect(content('b')).toBe('by somebody else');
    expect(content('a')).toBe('old a');
  });

  test('is not replaced by what is not verified, or is of another set', async () => {
    const other = { ...wanted, set: { ...set, id: '2026-11-19T190000Z-00000000' } };
    await expect(moveAside(place, await found(), other)).rejects.toThrow('holds no verified');
    rmSync(join(place.staging, 'verified.json'));
    await expect(moveAside(place, await found(), wanted)).rejects.toThrow('holds no verified');
    expect([content('a'), content('b')]).toEqual(['old a', 'old b']);
  });

  test('is the only thing that has another name: a folder that is not a staging folder is not removed', async () => {
    await expect(removeStaging({ staging: join(folder, 'a') })).rejects.toThrow('it is not removed');
    expect(content('a')).toBe('old a');
  });
});

function found() {
  return observeData(place.roots.map(({ path }) => path));
}

function data(name: string, text: string): void {
  mkdirSync(join(folder, name));
  writeFileSync(join(folder, name, 'file'), text);
}

function content(name: string): string {
  return readFileSync(join(folder, name, 'file'), 'utf8');
}

async function expectAsBefore(before: Awaited<ReturnType<typeof found>>): Promise<void> {
  expect(await found()).toEqual(before);
  expect(await existing(place)).toEqual([]);
  await removeStaging(place);
  expect(readdirSync(folder)).toEqual(['a', 'b']);
  expect([content('a'), content('b')]).toEqual(['old a', 'old b']);
}
