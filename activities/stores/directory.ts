import type { Stats } from 'node:fs';
import { createReadStream } from 'node:fs';
import { link, lstat, open, readFile, readdir, rename, rm, stat, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { SetRef } from '../../model/manifest.ts';
import type { DirectoryStore, HostName } from '../../model/site.ts';
import { makeFolders } from '../system/folders.ts';
import { freeBytesIn } from '../system/rooms.ts';
import { asking, type Cause } from './asking.ts';
import { StoreError, filePath, isPart, manifestName, partPath, segment, setPath } from './names.ts';
import type { Part, Store } from './store.ts';

/** Large reads and writes cost fewer turns of the event loop. */
const pieceBytes = 1024 * 1024;

/** A store that is a directory on this host: a disk of its own, or a mount that every host sees. */
export function createDirectoryStore(name: string, spec: DirectoryStore, host: HostName): Store {
  const root = typeof spec.directory === 'string' ? spec.directory : spec.directory[host];
  if (root === undefined) {
    throw new StoreError(
      `Store ${name} has no directory on host ${host}: name one under directory: in the site file.`,
    );
  }
  const place = root;
  const { asked, explained } = asking(`Store ${name} (${place}) on host ${host}`, causeOf);

  return {
    name,
    host,
    shared: spec.shared,
    place,

    create: (set, file, owner) =>
      asked(`begin ${file}`, async () => {
        const part = pathOf(set, partPath(file, owner));
        await makeFolder(dirname(part));
        await rm(part, { force: true });
        return createPart(part, pathOf(set, filePath(file)), await open(part, 'wx', 0o600));
      }),

    sizeBytes: (set, file) =>
      asked(`look for ${file}`, async () => (await statOrNull(pathOf(set, filePath(file))))?.size ?? null),

    async *read(set, file) {
      const path = pathOf(set, filePath(file));
      try {
        yield* createReadStream(path, { highWaterMark: pieceBytes }) as AsyncIterable<Buffer>;
      } catch (error) {
        throw await explained(`read ${path}`, error);
      }
    },

    readText: (set, file) =>
      asked(`read ${file}`, () => readFile(pathOf(set, filePath(file)), 'utf8').catch(nullIfMissing)),

    replaceText: (set, file, text) =>
      asked(`write ${file}`, async () => {
        const path = pathOf(set, filePath(file));
        const part = pathOf(set, partPath(file, 'text'));
        await makeFolder(dirname(path));
        const handle = await open(part, 'w', 0o600);
        try {
          await handle.writeFile(text);
          await handle.sync();
        } finally {
          await handle.close();
        }
        await rename(part, path);
        await syncFolder(dirname(path));
      }),

    folders: (site, procedure) =>
      asked('list its sets', async () => {
        await mustBeThere();
        const procedures =
          procedure === undefined ? await foldersIn(join(place, segment(site))) : [segment(procedure)];
        const sets = await Promise.all(
          procedures.map(async (each) => {
            const ids = await foldersIn(join(place, segment(site), each));
            return ids.map((id): SetRef => ({ site, procedure: each, id }));
          }),
        );
        return sets.flat();
      }),

    lastChangeMs: (set) => asked(`look at ${set.id}`, () => lastChangeMs(pathOf(set))),

    clearParts: (set) =>
      asked(`clear ${set.id}`, async () => {
        for (const part of await partsBelow(pathOf(set))) await rm(part, { force: true });
      }),

    drop: (set, file) =>
      asked(`drop ${file}`, async () => {
        await unlink(pathOf(set, filePath(file))).catch(nullIfMissing);
      }),

    remove: (set) =>
      asked(`remove ${set.id}`, async () => {
        const folder = pathOf(set);
        await unlink(join(folder, manifestName)).catch(nullIfMissing);
        await syncFolder(folder).catch(nullIfMissing);
        await rm(folder, { recursive: true, force: true });
        await syncFolder(dirname(folder)).catch(nullIfMissing);
      }),

    freeBytes: () =>
      asked('measure its room', async () => {
        await mustBeThere();
        return freeBytesIn(place);
      }),

    writeToken: (token) =>
      asked('write a token', async () => {
        await mustBeThere();
        const handle = await open(tokenPath(token), 'w', 0o600);
        try {
          await handle.writeFile(token);
          await handle.sync();
        } finally {
          await handle.close();
        }
      }),

    hasToken: (token) =>
      asked('look for a token', async () => {
        await mustBeThere();
        return (await readFile(tokenPath(token), 'utf8').catch(nullIfMissing)) === token;
      }),

    removeToken: (token) => asked('remove a token', () => rm(tokenPath(token), { force: true })),
  };

  function pathOf(set: SetRef, file?: string): string {
    return join(place, setPath(set), ...(file === undefined ? [] : [file]));
  }

  function tokenPath(token: string): string {
    return join(place, segment(`.coldbackup-token-${token}`));
  }

  /** The store itself is never made: an empty folder where a disk should be mounted must not be filled. */
  async function mustBeThere(): Promise<void> {
    if ((await stat(place)).isDirectory()) return;
    throw new StoreError(`Store ${name} (${place}) on host ${host} is not a directory.`);
  }

  async function makeFolder(folder: string): Promise<void> {
    await mustBeThere();
    for (const made of (await makeFolders(folder)).toReversed()) await syncFolder(dirname(made));
  }

  function createPart(part: string, sealed: string, handle: FileHandle): Part {
    const gathered = createGatherer(handle);
    let linked = false;
    let dropped = false;
    const isDropped = (): boolean => dropped;
    const mustCount = (): void => {
      if (!isDropped()) return;
      throw new StoreError(`${part} on host ${host} was dropped meanwhile: it is not sealed.`);
    };
    return {
      write: (chunk) => asked(`write ${part}`, () => gathered.add(chunk)),
      seal: () =>
        asked(`seal ${sealed}`, async () => {
          await gathered.end();
          await handle.sync();
          const mine = await handle.stat();
          await handle.close();
          mustCount();
          if (!isSame(mine, await lstat(part))) {
            throw new StoreError(`${part} on host ${host} is another writer's by now: it is not sealed.`);
          }
          await link(part, sealed).catch(async (error: unknown) => {
            // An answer that was lost on the way from a server: the link is ours.
            if (codeOf(error) !== 'EEXIST' || !isSame(mine, await lstat(sealed))) throw error;
          });
          linked = true;
          await unlink(part).catch(nullIfMissing);
          await syncFolder(dirname(sealed));
          if (isDropped()) await rm(sealed, { force: true });
          mustCount();
        }),
      discard: () =>
        asked(`discard ${part}`, async () => {
          dropped = true;
          await handle.close().catch(() => undefined);
          await rm(part, { force: true });
          if (linked) await rm(sealed, { force: true });
        }),
    };
  }
}

function causeOf(error: unknown): Cause | null {
  const code = codeOf(error);
  if (code === undefined) return null;
  return {
    message: (error as Error).message,
    hint: hints[code] ?? 'Check the disk and its mount.',
    mayPass: passing.has(code),
  };
}

const hints: Readonly<Record<string, string>> = {
  ENOSPC: 'The store is full: make room, or keep fewer sets.',
  EDQUOT: 'The quota of the store is used up: make room, or keep fewer sets.',
  ENOENT: 'The store, or this file in it, is gone: is its disk mounted?',
  ENOTDIR: 'The store is not a directory.',
  ESTALE: 'The server has lost the store: mount it again.',
  ENOTCONN: 'The store is not connected: mount it again.',
  EIO: 'Its disk or its server fails.',
  EROFS: 'It is mounted read-only.',
  EACCES: "The agent's user must be able to write there.",
  EPERM: "The agent's user must be able to write there, and the file system must have hard links.",
  ENOTSUP: 'Its file system must have hard links, for sealing without overwriting.',
  EEXIST: 'It is sealed already; nothing was overwritten.',
};

/** A server, a network or a machine under load may be well again a moment later. */
const passing = new Set([
  ...['EIO', 'ESTALE', 'ENOTCONN', 'ETIMEDOUT', 'ECONNRESET', 'EHOSTDOWN', 'EHOSTUNREACH'],
  ...['EAGAIN', 'EBUSY', 'EINTR', 'EMFILE', 'ENFILE', 'ENOMEM'],
]);

/** Gathers pieces, and has at most one write under way: the next pieces come in meanwhile. */
function createGatherer(handle: FileHandle) {
  let pieces: Buffer[] = [];
  let waitingBytes = 0;
  let underWay = Promise.resolve();
  const flush = async (): Promise<void> => {
    await underWay;
    if (pieces.length === 0) return;
    const batch = pieces;
    pieces = [];
    waitingBytes = 0;
    underWay = writeAll(handle, batch);
    // Whoever writes or ends next is told.
    underWay.catch(() => undefined);
  };
  return {
    async add(piece: Buffer): Promise<void> {
      pieces.push(piece);
      waitingBytes += piece.length;
      if (waitingBytes >= pieceBytes) await flush();
    },
    async end(): Promise<void> {
      await flush();
      await underWay;
    },
  };
}

async function writeAll(handle: FileHandle, batch: readonly Buffer[]): Promise<void> {
  const { bytesWritten } = await handle.writev(batch);
  const givenBytes = batch.reduce((sum, piece) => sum + piece.length, 0);
  // A disk may take less than it was given, right before it is full.
  if (bytesWritten < givenBytes) await writeAll(handle, [Buffer.concat(batch).subarray(bytesWritten)]);
}

async function foldersIn(folder: string): Promise<readonly string[]> {
  const entries = (await readdir(folder, { withFileTypes: true }).catch(nullIfMissing)) ?? [];
  return entries
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
}

async function lastChangeMs(path: string): Promise<number | null> {
  const status = await statOrNull(path);
  if (status === null) return null;
  const names = status.isDirectory() ? ((await readdir(path).catch(nullIfMissing)) ?? []) : [];
  const below = await Promise.all(names.map((each) => lastChangeMs(join(path, each))));
  return Math.max(status.mtimeMs, ...below.map((changedMs) => changedMs ?? 0));
}

async function partsBelow(folder: string): Promise<readonly string[]> {
  const entries = (await readdir(folder, { withFileTypes: true }).catch(nullIfMissing)) ?? [];
  const parts = await Promise.all(
    entries.map(async (entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return partsBelow(path);
      return isPart(entry.name) ? [path] : [];
    }),
  );
  return parts.flat();
}

async function statOrNull(path: string): Promise<Stats | null> {
  return lstat(path).catch(nullIfMissing);
}

/** Without this a crash of the machine can undo a link or a new folder. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function isSame(one: Stats, other: Stats): boolean {
  return one.ino === other.ino && one.dev === other.dev;
}

function nullIfMissing(error: unknown): null {
  if (codeOf(error) === 'ENOENT') return null;
  throw error;
}

function codeOf(error: unknown): string | undefined {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}
