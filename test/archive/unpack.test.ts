import { createHash, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { pack } from 'tar-stream';
import type { LinkRule } from '../../activities/archive/judge.ts';
import { unpackArtifact } from '../../activities/archive/unpack.ts';
import { openStore } from '../../activities/stores/activities.ts';
import { runCommand } from '../../activities/system/command.ts';
import type { Artifact } from '../../model/manifest.ts';
import { withTools } from './support.ts';
import { copyTo, folderOf, setOf, siteWith } from '../stores/support.ts';

const set = setOf('2026-11-20T190000Z-0a1b2c3d');
const name = 'offer/tree.tar.zst';

let folder = '';
let target = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coldbackup-unpack-'));
  target = join(folder, 'in', 'target');
  await mkdir(target, { recursive: true });
  await mkdir(join(folder, 'store'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('a real artifact', () => {
  test('is back as it was: names, links, modes, extended attributes, the content of sparse files', async () => {
    const tree = join(folder, 'tree');
    const script = `
      mkdir -p sub/empty; printf one > one; ln one two; ln -s one three; ln -s ../one sub/up; ln -s ${tree}/sub whole
      printf odd > $'new\\nline'; printf bytes > $'\\xff\\xfe'; chmod 0500 sub; truncate -s 5M sparse
      chown 1234:4321 two; chmod 4711 one; touch -d '2001-02-03 04:05:06.789 UTC' sub/empty; setfattr -n user.mark -v yes one || true`;
    await mkdir(tree);
    await runCommand(['bash', '-c', script], { cwd: tree });
    const artifact = await copyTo(siteWith(join(folder, 'store')), 'mongo-1', set, name, tree);
    const unpacked = await unpack(artifact);
    expect(unpacked).toMatchObject({ problems: [], roots: [tree.slice(1)], files: artifact.files });
    const seen = (of: string) =>
      runCommand(
        ['bash', '-c', "find . -printf '%P %y %m %U:%G %n %l %T@ %s\\n' | sort; getfattr -dR . 2>&1 || true"],
        {
          cwd: of,
          env: { LC_ALL: 'C' },
        },
      );
    const before = (await seen(tree)).stdout;
    expect(before).toContain('4711');
    expect((await seen(join(target, tree))).stdout).toBe(before);
  });

  test('that differs by one bit, or whose manifest lies, is named, and is no success', async () => {
    const tree = join(folder, 'tree');
    await mkdir(tree);
    await writeFile(join(tree, 'random'), createHash('sha512').update('seed').digest());
    const artifact = await copyTo(siteWith(join(folder, 'store')), 'mongo-1', set, name, tree);
    const lie = (changes: Partial<Artifact>) => unpackAnew({ ...artifact, ...changes });
    expect((await lie({ sha256: 'ab'.repeat(32) })).problems[0]).toContain('was changed, its SHA-256 is');
    expect((await lie({ sizeBytes: 7 })).problems[0]).toContain('has not the 7 bytes of the manifest');
    expect((await lie({ contentBytes: 3 })).problems[0]).toContain('holds more than the 3 bytes');
    expect((await lie({ files: 0 })).problems[0]).toContain('holds more files than the manifest says');
    const fileList = { ...artifact.fileList, sha256: 'ab'.repeat(32) };
    expect((await lie({ fileList })).problems[0]).toContain('.files: was changed');
    const file = join(folderOf(join(folder, 'store'), set), name);
    const bytes = await readFile(file);
    bytes[bytes.length - 20] = (bytes[bytes.length - 20] ?? 0) ^ 4;
    await writeFile(file, bytes);
    expect((await lie({})).problems.join()).toMatch(/was changed|cannot be decompressed/);
  });
});

describe('what was unpacked is read again as it lies on the disk', () => {
  const tree = () => join(folder, 'tree');
  /** Larger than what lies between tar and the reader: most files are read while later ones are unpacked. */
  const copyMany = async (): Promise<Artifact> => {
    await mkdir(join(tree(), 'small'), { recursive: true });
    for (let n = 0; n < 1_500; n++)
      await writeFile(join(tree(), 'small', `${n}`.padStart(4, '0')), `file ${n}`);
    await writeFile(join(tree(), 'images'), randomBytes(4 * 1024 * 1024));
    await writeFile(join(tree(), 'z last'), 'the last one');
    return copyTo(siteWith(join(folder, 'store')), 'mongo-1', set, name, tree());
  };
  /** A tar that unpacks well, and then does this below the target. */
  const unpackAnd = (artifact: Artifact, then: string) =>
    withTools(
      {
        tar: `#!/bin/sh
          PATH=\${PATH#*:}
          said=$(tar "$@") || exit
          for last; do :; done
          cd "\${last#--directory=}${tree()}" && ${then} && printf %s "$said"`,
      },
      () => unpackAnew(artifact),
    );

  test('and a byte that differs there, or a file that is not there, is named', async () => {
    const artifact = await copyMany();
    expect(await unpackAnd(artifact, 'true')).toMatchObject({ problems: [], files: 1_502 });
    const last = `${name}: ${join(tree(), 'z last').slice(1)}`;
    for (const [then, what] of [
      [`printf X | dd of='z last' bs=1 seek=3 conv=notrunc status=none`, 'differs'],
      [`printf more >>'z last'`, 'differs'],
      [`rm 'z last'`, 'is missing'],
      [`rm 'z last' && ln -s small/0001 'z last'`, 'cannot be read'],
    ] as const) {
      const { problems } = await unpackAnd(artifact, then);
      expect(problems).toEqual([expect.stringContaining(`${last} ${what}`)]);
      expect(problems[0]).toContain('where it was restored');
    }
  });

  test('so content that is not what the list says is named, where every other digest is right', async () => {
    const artifact = await copyMany();
    const list = join(folderOf(join(folder, 'store'), set), artifact.fileList.name);
    const lines = (await readFile(list, 'latin1')).split('\n');
    for (const at of [0, 700, 1_501]) lines[at] = `${'ab'.repeat(32)}${lines[at]?.slice(64) ?? ''}`;
    const text = lines.join('\n');
    await writeFile(list, text, 'latin1');
    const sha256 = createHash('sha256').update(text, 'latin1').digest('hex');
    const { problems } = await unpackAnew({ ...artifact, fileList: { ...artifact.fileList, sha256 } });
    expect(problems.map((problem) => problem.replace(tree().slice(1), ''))).toEqual([
      `${name}: /images differs where it was restored`,
      `${name}: /small/0699 differs where it was restored`,
      `${name}: /z last differs where it was restored`,
    ]);
  });

  test('until the job is cancelled: then nothing is waited for', async () => {
    const artifact = await copyMany();
    const cancel = new AbortController();
    const store = openStore(siteWith(join(folder, 'store')), 'mongo-1', 'vault');
    const reason = new Error('cancelled by a test');
    const unpacking = unpackArtifact(
      { store, set, artifact, target, links: 'into-roots' },
      { signal: cancel.signal, onBytes: () => cancel.abort(reason) },
    );
    await expect(unpacking).rejects.toBe(reason);
  });
});

describe('an archive that was made to do harm is refused, and not one byte lies outside of the target', () => {
  const file = (path: string): Entry => [{ name: path, type: 'file' }, 'evil'];
  const dir = (path: string): Entry => [{ name: path, type: 'directory' }];
  const link = (path: string, linkname: string, type: 'link' | 'symlink' = 'symlink'): Entry => [
    { name: path, type, linkname },
  ];
  const cases: [string, readonly Entry[], string, LinkRule?][] = [
    ['a path that climbs out', [dir('r'), file('r/../../evil')], 'climbs out'],
    ['an absolute path', [file('/evil')], 'absolute'],
    ['a member written through a link', [dir('r'), link('r/out', '../..'), file('r/out/evil')], 'no folder'],
    ['a member written through a root that is a link', [link('r', '..'), file('r/evil')], 'no folder'],
    [
      'a link out of all that is in it',
      [dir('r'), link('r/out', '/etc')],
      'out of all that the archive holds',
    ],
    [
      'a link into what is in use',
      [dir('r'), link('r/journal', '/r/other')],
      'may be in use',
      'below-target',
    ],
    ['a hard link to a file outside', [dir('r'), link('r/passwd', '/etc/passwd', 'link')], 'hard link'],
    ['a hard link that climbs out', [dir('r'), link('r/evil', 'r/../../x', 'link')], 'hard link'],
    ['a link that becomes a folder', [dir('r'), link('r/a', '/r'), dir('r/a'), file('r/a/evil')], 'twice'],
    ['a member that is there twice', [dir('r'), file('r/a'), file('r/a')], 'r/a'],
    [
      'a device',
      [dir('r'), [{ name: 'r/sda', type: 'block-device', devmajor: 8, devminor: 0 }]],
      'entry of type',
    ],
    ['a key of another reader', [dir('r'), [{ name: 'r/x', pax: { hdrcharset: 'BINARY' } }, 'x']], 'pax key'],
  ];
  test.each(cases)('%s', async (...[, entries, words, rule]) => {
    const artifact = await hostile(entries);
    const { problems } = await unpack(artifact, rule);
    expect(problems.join('\n')).toContain(words);
    expect(await readdir(folder)).toEqual(['in', 'store']);
    expect(await readdir(join(folder, 'in'))).toEqual(['target']);
  });

  test('headers that two readers understand in two ways', async () => {
    const folderWithContent = await bytesOf([dir('r'), dir('r/d')]);
    folderWithContent.write('00000002000', 512 + 124, 'latin1');
    fixSum(folderWithContent, 512);
    const { problems } = await unpack(await hostileBytes(folderWithContent));
    expect(problems.join('\n')).toContain('a link or folder with content');
  });
});

type Entry = readonly [
  Parameters<ReturnType<typeof pack>['entry']>[0] & { readonly pax?: Record<string, string> },
  string?,
];

function unpack(artifact: Artifact, links: LinkRule = 'into-roots') {
  const store = openStore(siteWith(join(folder, 'store')), 'mongo-1', 'vault');
  const signal = new AbortController().signal;
  return unpackArtifact({ store, set, artifact, target, links }, { signal });
}

async function unpackAnew(artifact: Artifact) {
  await rm(target, { recursive: true });
  await mkdir(target);
  return unpack(artifact);
}

async function hostile(entries: readonly Entry[]): Promise<Artifact> {
  return hostileBytes(await bytesOf(entries));
}

async function bytesOf(entries: readonly Entry[]): Promise<Buffer> {
  const packed = pack();
  for (const [headers, content] of entries) packed.entry(headers, content ?? '');
  packed.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of packed) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function fixSum(bytes: Buffer, at: number): void {
  bytes.fill(' ', at + 148, at + 156);
  const sum = bytes.subarray(at, at + 512).reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1');
}

/** With all digests right: whoever made it could write the manifest too. */
async function hostileBytes(bytes: Buffer): Promise<Artifact> {
  const place = join(folderOf(join(folder, 'store'), set), name);
  await mkdir(dirname(place), { recursive: true });
  await writeFile(`${place}.raw`, bytes);
  await runCommand(['zstd', '-q', '--rm', `${place}.raw`, '-o', place]);
  const evil = createHash('sha256').update('evil').digest('hex');
  const list = `${evil}  r/a\n`;
  await writeFile(`${place}.files`, list);
  const sha256 = (data: Buffer | string) => createHash('sha256').update(data).digest('hex');
  const stored = await readFile(place);
  return {
    ...{
      name,
      store: 'vault',
      host: 'mongo-1',
      database: 'offer',
      sizeBytes: stored.length,
      sha256: sha256(stored),
    },
    ...{ contentBytes: 1_000_000, files: 100, leftOut: [], startedAt: '', endedAt: '' },
    fileList: { name: `${name}.files`, sha256: sha256(list), sizeBytes: list.length },
  };
}
