import { posix } from 'node:path';
import type { FileEntryWithStats, Stats } from 'ssh2';
import { isPart } from '../names.ts';
import { SftpError, noSuchFile } from './connection.ts';
import type { Link } from './connection.ts';

/** What a store needs of a server's files. null and [] where there is no such file. */
export function filesOf(link: Link) {
  const files = {
    stat: (path: string): Promise<Stats | null> =>
      link.ask<Stats>((sftp, answer) => sftp.lstat(path, answer)).catch(nullIfMissing),

    list: async (folder: string): Promise<readonly FileEntryWithStats[]> =>
      (await link
        .ask<FileEntryWithStats[]>((sftp, answer) => sftp.readdir(folder, answer))
        .catch(nullIfMissing)) ?? [],

    unlink: async (path: string): Promise<void> => {
      await link.ask<undefined>((sftp, answer) => sftp.unlink(path, answer)).catch(nullIfMissing);
    },

    /** The folders below `root` that are missing; `root` itself is never made. */
    makeFolders: async (root: string, folder: string): Promise<void> => {
      if (folder === root || (await files.stat(folder))?.isDirectory() === true) return;
      await files.makeFolders(root, posix.dirname(folder));
      try {
        await link.ask<undefined>((sftp, answer) => sftp.mkdir(folder, { mode: 0o700 }, answer));
      } catch (error) {
        // Another host was quicker.
        if ((await files.stat(folder))?.isDirectory() !== true) throw error;
      }
    },

    removeAll: async (path: string): Promise<void> => {
      for (const { filename, attrs } of await files.list(path)) {
        const below = posix.join(path, filename);
        if (attrs.isDirectory()) await files.removeAll(below);
        else await files.unlink(below);
      }
      await link.ask<undefined>((sftp, answer) => sftp.rmdir(path, answer)).catch(nullIfMissing);
    },

    /** Those of writers that are gone, also further down. */
    removeParts: async (folder: string): Promise<void> => {
      for (const { filename, attrs } of await files.list(folder)) {
        const below = posix.join(folder, filename);
        if (attrs.isDirectory()) await files.removeParts(below);
        else if (isPart(filename)) await files.unlink(below);
      }
    },

    lastChangeMs: async (path: string): Promise<number | null> => {
      const status = await files.stat(path);
      if (status === null) return null;
      const below = status.isDirectory() ? await files.list(path) : [];
      const changes = await Promise.all(
        below.map(({ filename }) => files.lastChangeMs(posix.join(path, filename))),
      );
      return Math.max(status.mtime * 1_000, ...changes.map((changedMs) => changedMs ?? 0));
    },

    /** To the disk, where the server offers it (fsync@openssh.com). */
    sync: async (handle: Buffer): Promise<void> => {
      await link
        .ask<undefined>((sftp, answer) => sftp.ext_openssh_fsync(handle, answer))
        .catch((error: unknown) => {
          if (!isUnsupported(error)) throw error;
        });
    },

    close: (handle: Buffer): Promise<undefined> =>
      link.ask<undefined>((sftp, answer) => sftp.close(handle, answer)),
  };
  return files;
}

export type Files = ReturnType<typeof filesOf>;

/** ssh2 says so before it asks, a server with SSH_FX_OP_UNSUPPORTED. */
export function isUnsupported(error: unknown): boolean {
  return error instanceof SftpError && (error.status === 8 || /not support/i.test(error.message));
}

export function nullIfMissing(error: unknown): null {
  if (error instanceof SftpError && error.status === noSuchFile) return null;
  throw error;
}
