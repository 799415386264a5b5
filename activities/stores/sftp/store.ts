import { randomBytes } from 'node:crypto';
import { posix } from 'node:path';
import type { SetRef } from '../../../model/manifest.ts';
import type { HostName, SftpStore } from '../../../model/site.ts';
import { asking, type Cause } from '../asking.ts';
import { comesBackWithinMs } from '../patience.ts';
import { StoreError, filePath, isPartOf, manifestName, ownPartPath, segment, setPath } from '../names.ts';
import type { Part, Store } from '../store.ts';
import { SftpError, connectionsTo, failure } from './connection.ts';
import type { Link } from './connection.ts';
import { filesOf, isUnsupported, nullIfMissing } from './files.ts';
import type { Files } from './files.ts';
import { readPipelined, readWhole, writeFileWhole } from './transfer.ts';
import type { OpenFile } from './transfer.ts';
import { createUpload } from './upload.ts';

/**
 * A store that is a directory on a server, over SFTP version 3 as OpenSSH has it. Sealing renames, which that version
 * never does over another file. The folders' own entries reach the disk when the server's kernel writes them: SFTP
 * cannot ask for that. A file goes on where it was when the connection is lost and back `withinMs`.
 */
export function createSftpStore(
  name: string,
  spec: SftpStore,
  host: HostName,
  withinMs = comesBackWithinMs,
): Store {
  const connections = connectionsTo(spec);
  const root = spec.directory;
  const place = `sftp://${spec.user}@${spec.host}:${spec.port}${root}`;
  const where = `Store ${name} (${place}) on host ${host}`;
  const { asked, explained } = asking(where, causeOf);

  return {
    name,
    host,
    shared: spec.shared,
    place,

    create: (set, file, owner) =>
      asked(`begin ${file}`, async () => {
        const link = await connections.hold();
        try {
          const files = filesOf(link);
          const sealed = pathOf(set, filePath(file));
          const folder = posix.dirname(sealed);
          await makeFolder(files, folder);
          await dropParts(files, set, file, owner);
          const part = pathOf(set, ownPartPath(file, owner, nonce()));
          const handle = await link.ask<Buffer>((sftp, answer) =>
            sftp.open(part, 'wx', { mode: 0o600 }, answer),
          );
          return createPart({ part, sealed, opened: { link, handle } });
        } catch (error) {
          link.release();
          throw error;
        }
      }),

    sizeBytes: (set, file) =>
      using(
        `look for ${file}`,
        async (files) => (await files.stat(pathOf(set, filePath(file))))?.size ?? null,
      ),

    async *read(set, file) {
      const path = pathOf(set, filePath(file));
      let link: Link | null = null;
      try {
        link = await connections.hold();
        yield* readPipelined(link, path);
      } catch (error) {
        throw await explained(`read ${path}`, error);
      } finally {
        link?.release();
      }
    },

    readText: (set, file) =>
      using(`read ${file}`, async (_, link) => {
        const text = await readWhole(link, pathOf(set, filePath(file))).catch(nullIfMissing);
        return text?.toString('utf8') ?? null;
      }),

    replaceText: (set, file, text) =>
      using(`write ${file}`, async (files, link) => {
        const path = pathOf(set, filePath(file));
        await makeFolder(files, posix.dirname(path));
        const part = pathOf(set, ownPartPath(file, 'text', nonce()));
        await writeFileWhole(link, part, Buffer.from(text));
        try {
          await link.ask<undefined>((sftp, answer) => sftp.ext_openssh_rename(part, path, answer));
        } catch (error) {
          await files.unlink(part).catch(() => undefined);
          if (!isUnsupported(error)) throw error;
          throw new StoreError(
            `${where}: the server does not offer posix-rename@openssh.com, without which ${file} cannot be replaced as a whole.`,
          );
        }
      }),

    folders: (site, procedure) =>
      using('list its sets', async (files) => {
        await mustBeThere(files);
        const folder = posix.join(root, segment(site));
        const procedures = procedure === undefined ? await foldersIn(files, folder) : [segment(procedure)];
        const sets = await Promise.all(
          procedures.map(async (each) => {
            const ids = await foldersIn(files, posix.join(folder, each));
            return ids.map((id): SetRef => ({ site, procedure: each, id }));
          }),
        );
        return sets.flat();
      }),

    lastChangeMs: (set) => using(`look at ${set.id}`, (files) => files.lastChangeMs(pathOf(set))),

    clearParts: (set) => using(`clear ${set.id}`, (files) => files.removeParts(pathOf(set))),

    drop: (set, file) => using(`drop ${file}`, (files) => files.unlink(pathOf(set, filePath(file)))),

    remove: (set) =>
      using(`remove ${set.id}`, async (files) => {
        const folder = pathOf(set);
        if ((await files.stat(folder)) === null) return;
        await files.unlink(posix.join(folder, manifestName));
        await files.removeAll(folder);
      }),

    freeBytes: () =>
      using('measure its room', async (files, link) => {
        await mustBeThere(files);
        return freeBytes(link, root);
      }),

    writeToken: (token) =>
      using('write a token', async (files, link) => {
        await mustBeThere(files);
        await files.unlink(tokenPath(token));
        await writeFileWhole(link, tokenPath(token), Buffer.from(token));
      }),

    hasToken: (token) =>
      using('look for a token', async (files, link) => {
        await mustBeThere(files);
        const found = await readWhole(link, tokenPath(token)).catch(nullIfMissing);
        return found?.toString('utf8') === token;
      }),

    removeToken: (token) => using('remove a token', (files) => files.unlink(tokenPath(token))),
  };

  function pathOf(set: SetRef, file?: string): string {
    return posix.join(root, setPath(set), ...(file === undefined ? [] : [file]));
  }

  function tokenPath(token: string): string {
    return posix.join(root, segment(`.coldbackup-token-${token}`));
  }

  /** The store itself is never made: an empty folder where a disk should be mounted must not be filled. */
  async function mustBeThere(files: Files): Promise<void> {
    const status = await files.stat(root);
    if (status?.isDirectory() === true || status?.isSymbolicLink() === true) return;
    throw new StoreError(
      `${where}: ${root} ${status === null ? 'is not there' : 'is not a directory'} on the server. Is its disk mounted?`,
    );
  }

  async function makeFolder(files: Files, folder: string): Promise<void> {
    await mustBeThere(files);
    await files.makeFolders(root, folder);
  }

  /** What an earlier writer of the same owner began: it can no longer be sealed. */
  async function dropParts(files: Files, set: SetRef, file: string, owner: string): Promise<void> {
    const folder = posix.dirname(filePath(file));
    for (const { filename } of await files.list(pathOf(set, folder))) {
      const path = posix.join(folder, filename);
      if (isPartOf(path, file, owner)) await files.unlink(pathOf(set, path));
    }
  }

  function createPart(what: {
    readonly part: string;
    readonly sealed: string;
    readonly opened: OpenFile;
  }): Part {
    const { part, sealed, opened } = what;
    const upload = createUpload({ connections, path: part, opened, withinMs, where });
    let state: 'part' | 'unsure' | 'sealed' = 'part';
    let dropped = false;
    const isDropped = (): boolean => dropped;
    const mustCount = (): void => {
      if (isDropped()) throw new StoreError(`${part} was dropped meanwhile: it is not sealed.`);
    };
    return {
      write: (chunk) => asked(`write ${part}`, () => upload.add(chunk)),
      seal: () =>
        asked(`seal ${sealed}`, async () => {
          const writtenBytes = await upload.end();
          mustCount();
          const link = upload.link();
          const files = filesOf(link);
          await upload.close();
          mustCount();
          const status = await files.stat(part);
          if (status?.size !== writtenBytes)
            throw new StoreError(
              `${where}: ${part} is ${status === null ? "gone, or another writer's" : `${status.size} bytes long`} ` +
                `after ${writtenBytes} bytes were written to it: it is not sealed.`,
            );
          if ((await files.stat(sealed)) !== null) throw taken(sealed);
          state = 'unsure';
          await link
            .ask<undefined>((sftp, answer) => sftp.rename(part, sealed, answer))
            .catch(async (error: unknown) => {
              await renameFailed(files, error);
            });
          state = 'sealed';
          if (isDropped()) await files.unlink(sealed);
          mustCount();
          link.release();
        }),
      discard: () => {
        dropped = true;
        upload.stop();
        return using(`discard ${part}`, async (now) => {
          if (!upload.link().isLost()) await upload.close().catch(() => undefined);
          upload.link().release();
          const isThere = (await now.stat(part)) !== null;
          await now.unlink(part);
          // Only our own rename takes our part away.
          if (state === 'sealed' || (state === 'unsure' && !isThere)) await now.unlink(sealed);
        });
      },
    };

    async function renameFailed(files: Files, error: unknown): Promise<void> {
      if (!(error instanceof SftpError) || error.status !== failure) throw error;
      state = 'part';
      if ((await files.stat(sealed)) !== null) throw taken(sealed);
      throw error;
    }
  }

  function taken(sealed: string): StoreError {
    return new StoreError(
      `${where} could not seal ${sealed}. It is sealed already; nothing was overwritten.`,
    );
  }

  function using<T>(what: string, action: (files: Files, link: Link) => Promise<T>): Promise<T> {
    return asked(what, async () => {
      const link = await connections.hold();
      try {
        return await action(filesOf(link), link);
      } finally {
        link.release();
      }
    });
  }

  /** SFTP has one word for all failures; a full disk is the likeliest. */
  async function causeOf(error: unknown): Promise<Cause> {
    const message = error instanceof Error ? error.message : String(error);
    if (!(error instanceof SftpError)) return { message, mayPass: false };
    const { status, mayPass } = error;
    const isFull = status === failure && (await hasNoRoom());
    const hint = isFull ? 'The store is full: make room, or keep fewer sets.' : hints[status ?? -1];
    return { message, hint, mayPass };
  }

  async function hasNoRoom(): Promise<boolean> {
    const free = await connections
      .hold()
      .then((link) => freeBytes(link, root).finally(() => link.release()))
      .catch(() => null);
    return free !== null && free < 1024 * 1024;
  }
}

const hints: Readonly<Record<number, string>> = {
  2: 'The store, or this file in it, is gone: is its disk mounted?',
  3: 'The user must be able to write there.',
  4: 'The server does not say why: look at its disk.',
};

interface FileSystem {
  readonly f_bavail: number;
  readonly f_frsize: number;
}

/** null: the server does not offer statvfs@openssh.com. */
async function freeBytes(link: Link, root: string): Promise<number | null> {
  try {
    const { f_bavail, f_frsize } = await link.ask<FileSystem>((sftp, answer) =>
      sftp.ext_openssh_statvfs(root, answer),
    );
    return f_bavail * f_frsize;
  } catch (error) {
    if (isUnsupported(error)) return null;
    throw error;
  }
}

async function foldersIn(files: Files, folder: string): Promise<readonly string[]> {
  return (await files.list(folder))
    .filter(({ attrs }) => attrs.isDirectory())
    .map(({ filename }) => filename)
    .sort();
}

function nonce(): string {
  return randomBytes(6).toString('hex');
}
