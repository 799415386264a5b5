import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { copyTree } from '../activities/archive/copy-tree.ts';
import { createDirectoryStore } from '../activities/stores/directory.ts';
import { runCommand } from '../activities/system/command.ts';

/**
 * `node dist/bench/archive.js [MB]`: the archive pass, with every digest and fsync, beside `tar | zstd -3 > file` on the
 * same tree, in turn. Each copy runs in a process of its own, whose peak memory is measured.
 */
const mebibyte = 1024 * 1024;
const rounds = 4;
const plainPipe = 'tar -C "$1" -cf - . | zstd -3 -q -f -o "$2"';

const [, , first, ...rest] = process.argv;
if (first === '--copy') await copyOnce(...(rest as [string, string, string]));
else await compare(Number(first ?? 1_024));

async function compare(sizeMb: number): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'coldbackup-bench-'));
  try {
    const tree = join(folder, 'tree');
    const store = join(folder, 'store');
    await mkdir(store);
    process.stdout.write(`writing a tree of ${sizeMb} MB …\n`);
    await writeTree(tree, sizeMb * mebibyte);
    const plain: number[] = [];
    const copied: number[] = [];
    let peakMb = 0;
    let ratio = 0;
    // The first round warms the cache for both and is not counted.
    for (let round = 0; round <= rounds; round++) {
      const { durationMs: plainMs } = await runCommand([
        'sh',
        '-c',
        plainPipe,
        'sh',
        tree,
        join(store, 'plain'),
      ]);
      const child = await runCommand([
        process.execPath,
        fileURLToPath(import.meta.url),
        '--copy',
        tree,
        store,
        `round-${round}`,
      ]);
      const { ms, peakRssMb, sizeBytes, contentBytes } = JSON.parse(child.stdout) as CopyFigures;
      process.stdout.write(
        `${round === 0 ? 'warm-up' : `round ${round}`}: tar | zstd -3 ${seconds(plainMs)}, copyTree ${seconds(ms)}, ` +
          `peak ${peakRssMb.toFixed(0)} MB\n`,
      );
      if (round === 0) continue;
      plain.push(plainMs);
      copied.push(ms);
      peakMb = Math.max(peakMb, peakRssMb);
      ratio = contentBytes / sizeBytes;
    }
    const plainSize = (await stat(join(store, 'plain'))).size;
    process.stdout.write(
      `\nmedians: tar | zstd -3 ${seconds(median(plain))}, copyTree ${seconds(median(copied))}: ` +
        `${(median(copied) / median(plain)).toFixed(2)} of its time (aim: at most 1.4)\n` +
        `${((sizeMb * 1000) / median(copied)).toFixed(0)} MB/s; compressed to 1/${ratio.toFixed(2)} ` +
        `(plain: 1/${((sizeMb * mebibyte) / plainSize).toFixed(2)})\n` +
        `peak memory of the copying process: ${peakMb.toFixed(0)} MB (aim: under 150)\n`,
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface CopyFigures {
  readonly ms: number;
  readonly peakRssMb: number;
  readonly sizeBytes: number;
  readonly contentBytes: number;
}

async function copyOnce(tree: string, directory: string, id: string): Promise<void> {
  const host = 'bench';
  const store = createDirectoryStore(
    'bench',
    { kind: 'directory', directory, shared: false, keeper: host },
    host,
  );
  const set = { site: 'bench', procedure: 'archive', id };
  const startedAt = performance.now();
  const { copied } = await copyTree(
    { host, roots: [tree], exclude: [], stores: [store], set, artifact: 'tree.tar.zst', owner: '1-bench' },
    { signal: new AbortController().signal, onProcess: () => undefined, onProgress: () => undefined },
  );
  const ms = performance.now() - startedAt;
  const { sizeBytes = 0, contentBytes = 0 } = copied[0] ?? {};
  const figures: CopyFigures = {
    ms,
    peakRssMb: process.resourceUsage().maxRSS / 1024,
    sizeBytes,
    contentBytes,
  };
  process.stdout.write(JSON.stringify(figures));
  await store.remove(set);
}

/** Like a database: a few large files and many small ones, half of each page random, half repetitive. */
async function writeTree(folder: string, sizeBytes: number): Promise<void> {
  await mkdir(folder, { recursive: true });
  const largeBytes = Math.floor((sizeBytes * 0.9) / 8);
  for (let i = 0; i < 8; i++) await writeFile(join(folder, `collection-${i}.wt`), largeBytes);
  const smallBytes = 64 * 1024;
  const count = Math.floor((sizeBytes * 0.1) / smallBytes);
  for (let i = 0; i < count; i++) {
    const sub = join(folder, 'objects', String(i % 50));
    await mkdir(sub, { recursive: true });
    await writeFile(join(sub, `object-${i}`), smallBytes);
  }
}

async function writeFile(path: string, sizeBytes: number): Promise<void> {
  const handle = await open(path, 'w');
  for (let written = 0; written < sizeBytes;) {
    const count = Math.min(256, Math.ceil((sizeBytes - written) / 4096));
    const pages = Buffer.concat(Array.from({ length: count }, (_, page) => pageOf(written + page)));
    const piece = pages.subarray(0, Math.min(pages.length, sizeBytes - written));
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

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const high = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? high : (high + (sorted[middle - 1] ?? NaN)) / 2;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}
