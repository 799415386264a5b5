import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { extract, pack } from 'tar-stream';
import { createTarDigests } from '../../activities/archive/digests.ts';
import { listLine, parseListLine } from '../../activities/archive/file-list.ts';
import type { ListedFile } from '../../activities/archive/file-list.ts';
import { runCommand } from '../../activities/system/command.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coldbackup-tar-'));
  const script = `
    mkdir -p tree/sub
    printf one > tree/one; printf '' > tree/empty; head -c 100000 /dev/urandom > tree/sub/random
    printf accent > tree/é; ln tree/one tree/two; ln -s one tree/three; head -c 512 /dev/zero > tree/block
    tar --format=ustar --sort=name -cf ustar.tar tree
    long=tree/$(printf 'd%.0s' {1..200}); mkdir "$long"; printf long > "$long/$(printf 'f%.0s' {1..200})"
    tar --format=posix --sort=name -cf posix.tar tree && tar --format=gnu --sort=name -cf gnu.tar tree`;
  await runCommand(['bash', '-c', script], { cwd: folder });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test.each(['posix', 'gnu', 'ustar'])(
  'reads a %s archive as tar-stream does, however it is cut',
  async (format) => {
    const bytes = await readFile(join(folder, `${format}.tar`));
    const expected = await byTarStream(bytes);
    expect(expected.length).toBeGreaterThanOrEqual(5);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 20_000 }), { minLength: 1, maxLength: 20 }), (sizes) => {
        expect(digestsOf(bytes, sizes)).toEqual(expected);
      }),
      { numRuns: 50 },
    );
    expect(digestsOf(bytes, [1])).toEqual(expected);
  },
);

test('an archive that ends too early is not taken for a whole one, wherever it was cut', async () => {
  const bytes = await readFile(join(folder, 'posix.tar'));
  const end = bytes.length - trailingZeros(bytes);
  fc.assert(
    fc.property(fc.integer({ min: 0, max: end }), (cut) => {
      expect(() => digestsOf(bytes.subarray(0, cut), [65_536])).toThrow();
    }),
  );
});

test('a damaged header is an error', async () => {
  const bytes = await readFile(join(folder, 'posix.tar'));
  bytes[3] = (bytes[3] ?? 0) ^ 1;
  expect(() => digestsOf(bytes, [65_536])).toThrow('damaged');
});

test('a size beyond 8 GiB is read from its pax header', async () => {
  const packed = pack();
  packed.entry({ name: 'huge', size: 9 * 2 ** 30, type: 'file' });
  const header = await new Promise<Buffer>((resolve) =>
    packed.once('data', (data) => resolve(data as Buffer)),
  );
  packed.destroy();
  const digests = createTarDigests();
  digests.push(header);
  digests.push(Buffer.alloc(1024));
  expect(digests.totals).toMatchObject({ files: 1, contentBytes: 1024 });
  expect(() => digests.finish()).toThrow('huge');
});

test('a line of a file list says again what was written, whatever the name', () => {
  const path = fc.uint8Array({ minLength: 1 }).map((bytes) => Buffer.from(bytes).toString('latin1'));
  fc.assert(
    fc.property(path, fc.nat(), (name, seed) => {
      const file = { path: name, sha256: createHash('sha256').update(String(seed)).digest('hex') };
      const line = listLine(file).toString('latin1');
      expect(line.indexOf('\n')).toBe(line.length - 1);
      expect(parseListLine(line.slice(0, -1))).toEqual(file);
    }),
  );
});

function digestsOf(bytes: Buffer, sizes: readonly number[]): readonly ListedFile[] {
  const digests = createTarDigests();
  for (let offset = 0, i = 0; offset < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    digests.push(bytes.subarray(offset, offset + size));
    offset += size;
  }
  digests.finish();
  return digests.takeFiles();
}

async function byTarStream(bytes: Buffer): Promise<readonly ListedFile[]> {
  const files: ListedFile[] = [];
  const entries = extract();
  entries.end(bytes);
  for await (const entry of entries) {
    const hash = createHash('sha256');
    for await (const chunk of entry) hash.update(chunk as Buffer);
    if (entry.header.type !== 'file') continue;
    files.push({ path: Buffer.from(entry.header.name).toString('latin1'), sha256: hash.digest('hex') });
  }
  return files;
}

function trailingZeros(bytes: Buffer): number {
  let count = 0;
  while (count < bytes.length && bytes[bytes.length - 1 - count] === 0) count += 1;
  return count;
}
