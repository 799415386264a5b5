import { randomBytes } from 'node:crypto';
import { chmod, chown, link, mkdir, open, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../activities/system/command.ts';

const mebibyte = 1024 * 1024;

/**
 * Like a database with its files: large pages half random, JSON logs, what cannot be compressed, many small files; and one
 * of each kind that a restore may get wrong.
 */
export async function writeTree(folder: string, sizeMb: number): Promise<void> {
  const share = (part: number) => Math.floor(sizeMb * part * mebibyte);
  await mkdir(folder, { recursive: true });
  for (let i = 0; i < 6; i++) await writeLarge(join(folder, `collection-${i}.wt`), share(0.1), pageOf);
  await writeLarge(join(folder, 'journal.json'), share(0.2), lineOf);
  await writeLarge(join(folder, 'images.bin'), share(0.1), () => randomBytes(4096));
  await writeSmallFiles(join(folder, 'objects'), Math.floor(share(0.1) / 8192), 8192);
  await writeOdd(join(folder, 'odd'));
}

async function writeOdd(folder: string): Promise<void> {
  const at = (name: string) => join(folder, name);
  await mkdir(folder, { mode: 0o750 });
  await writeFile(at('private'), 'private');
  if (process.getuid?.() === 0) await chown(at('private'), 12_345, 23_456);
  await chmod(at('private'), 0o4710);
  await runCommand(['setfattr', '--name=user.coldbackup', '--value=kept', at('private')]);
  await runCommand(['setfacl', '--modify=u:1:r', at('private')]);
  await link(at('private'), at('second name'));
  await symlink('private', at('link'));
  await writeFile(at('old'), '');
  await utimes(at('old'), 1_000_000_000, 1_000_000_000.123);
  await utimes(folder, 1_000_000_000, 1_000_000_001.5);
}

/** @param sizeBytes of each file. */
export async function writeSmallFiles(folder: string, count: number, sizeBytes: number): Promise<void> {
  const perFolder = 1000;
  for (let from = 0; from < count; from += perFolder) {
    const sub = join(folder, String(from / perFolder));
    await mkdir(sub, { recursive: true });
    for (let n = from; n < Math.min(count, from + perFolder); n++)
      await writeFile(join(sub, `object-${n}`), pageOf(n).subarray(0, Math.min(sizeBytes, 4096)));
  }
}

async function writeLarge(path: string, sizeBytes: number, page: (id: number) => Buffer): Promise<void> {
  const handle = await open(path, 'w');
  for (let written = 0; written < sizeBytes;) {
    const count = Math.min(256, Math.ceil((sizeBytes - written) / 4096));
    const piece = Buffer.concat(Array.from({ length: count }, (_, n) => page(written + n)));
    await handle.write(piece);
    written += piece.length;
  }
  await handle.close();
}

function pageOf(id: number): Buffer {
  const text = `{"_id":${id},"state":"validated","unit":"archive-unit","operations":["ingest","index","store"]}`;
  const page = Buffer.alloc(4096, text);
  randomBytes(2048).copy(page);
  return page;
}

function lineOf(id: number): Buffer {
  const random = randomBytes(8).toString('hex');
  return Buffer.alloc(4096, `{"at":${id},"operation":"${random}","outcome":"OK","agent":"vitam-ui"}\n`);
}
