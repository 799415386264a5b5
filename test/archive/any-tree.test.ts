import { link, lutimes, mkdir, mkdtemp, open, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { unpackArtifact } from '../../activities/archive/unpack.ts';
import { openStore } from '../../activities/stores/activities.ts';
import { runCommand } from '../../activities/system/command.ts';
import { copyTo, setOf, siteWith } from '../stores/support.ts';
import { isRoot, picture } from './support.ts';

/** Any bytes but those that no name may have. */
const name = fc
  .uint8Array({ minLength: 1, maxLength: 30 })
  .map((bytes) => Buffer.from(bytes.map((byte) => (byte === 0 || byte === 0x2f ? 0x0a : byte))))
  .filter((bytes) => !['.', '..'].includes(bytes.toString('latin1')));
const path = fc.array(name, { minLength: 1, maxLength: 3 });
const content = fc.record({
  bytes: fc.uint8Array({ maxLength: 3_000 }),
  /** A hole before them, which takes no room. */
  holeBytes: fc.constantFrom(0, 0, 1, 511, 4_096, 3_000_000),
});
const owned = fc.record({
  mode: fc.integer({ min: 0, max: 0o7777 }),
  owner: fc.integer({ min: 0, max: 3_000_000 }),
  group: fc.integer({ min: 0, max: 3_000_000 }),
  mtimeS: fc.integer({ min: -1_000_000_000, max: 5_000_000_000 }),
  attribute: fc.option(fc.uint8Array({ minLength: 1, maxLength: 100 })),
  reader: fc.option(fc.integer({ min: 1, max: 60_000 })),
});
const entry = fc.oneof(
  fc.record({ kind: fc.constant('file' as const), path, content, owned }),
  fc.record({ kind: fc.constant('folder' as const), path, owned }),
  // A link out of the tree is refused, whatever it leads to.
  fc.record({ kind: fc.constant('symlink' as const), path, to: name }),
  fc.record({ kind: fc.constant('hard link' as const), path }),
);
type Entry = typeof entry extends fc.Arbitrary<infer T> ? T : never;

test('any tree of files comes back bit for bit, holes as zeros, with names, links, modes, owners, times, attributes and ACLs', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(entry, { maxLength: 12 }), async (entries) => {
      const folder = await mkdtemp(join(tmpdir(), 'coldbackup-any-tree-'));
      try {
        const tree = join(folder, 'tree');
        await makeTree(tree, entries);
        const before = await picture(tree);
        expect(await restored(folder, tree)).toBe(before);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    }),
    { numRuns: 12 },
  );
}, 120_000);

async function restored(folder: string, tree: string): Promise<string> {
  const [directory, target] = [join(folder, 'store'), join(folder, 'target')];
  for (const each of [directory, target]) await mkdir(each);
  const site = siteWith(directory);
  const set = setOf('2026-11-20T190000Z-0a1b2c3d');
  const artifact = await copyTo(site, 'mongo-1', set, 'offer/tree.tar.zst', tree);
  const { problems } = await unpackArtifact(
    { store: openStore(site, 'mongo-1', 'vault'), set, artifact, target, links: 'into-roots' },
    { signal: new AbortController().signal },
  );
  expect(problems).toEqual([]);
  return picture(join(target, tree));
}

async function makeTree(tree: string, entries: readonly Entry[]): Promise<void> {
  await mkdir(tree);
  const at = (names: readonly Buffer[]) =>
    names.reduce((above, one) => Buffer.concat([above, Buffer.from('/'), one]), Buffer.from(tree));
  const files: Buffer[] = [];
  const dressed: [Buffer, NonNullable<Extract<Entry, { kind: 'file' | 'folder' }>['owned']>][] = [];
  for (const one of entries) {
    const place = at(one.path);
    try {
      await mkdir(at(one.path.slice(0, -1)), { recursive: true });
      if (one.kind === 'folder') await mkdir(place);
      if (one.kind === 'symlink') await symlink(one.to, place);
      if (one.kind === 'hard link' && files[0] !== undefined) await link(files[0], place);
      if (one.kind === 'file') {
        const handle = await open(place, 'wx');
        await handle.write(one.content.bytes, 0, one.content.bytes.length, one.content.holeBytes);
        await handle.close();
        files.push(place);
      }
      if ('owned' in one) dressed.push([place, one.owned]);
    } catch (error) {
      // The name is taken, or is that of a file where a folder is wanted.
      if (!['EEXIST', 'ENOTDIR', 'ELOOP', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? ''))
        throw error;
    }
  }
  // From the inside out: a folder's time changes with what is made in it.
  for (const [place, one] of dressed.reverse()) await dress(place, one);
}

/** Programs get the path through a shell's printf: an argument vector of node is UTF-8. */
async function dress(
  place: Buffer,
  one: NonNullable<Extract<Entry, { kind: 'file' }>['owned']>,
): Promise<void> {
  const octal = [...place].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');
  const hex = one.attribute === null ? null : Buffer.from(one.attribute).toString('hex');
  const script = [
    `path=$(printf '${octal}_'); path=\${path%_}`,
    ...(isRoot ? [`chown -h ${one.owner}:${one.group} "$path"`] : []),
    `chmod ${(isRoot ? one.mode : one.mode | 0o700).toString(8)} "$path"`,
    ...(hex === null ? [] : [`setfattr -n user.any -v 0x${hex} "$path"`]),
    ...(one.reader === null ? [] : [`setfacl -m u:${one.reader}:r "$path"`]),
  ].join('\n');
  await runCommand(['bash', '-ec', script], { env: { LC_ALL: 'C' } });
  await lutimes(place, one.mtimeS, one.mtimeS);
}
