import { setTimeout as sleep } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { StoreError } from '../names.ts';
import { persist } from '../patience.ts';
import { SftpError } from './connection.ts';
import type { Connections, Link } from './connection.ts';
import { filesOf } from './files.ts';
import { readPipelined, writePipelined } from './transfer.ts';
import type { OpenFile, Taken } from './transfer.ts';

export interface UploadSpec {
  readonly connections: Connections;
  readonly path: string;
  readonly opened: OpenFile;
  /** So long the server may be out of reach; anew whenever it has taken more meanwhile. */
  readonly withinMs: number;
  /** Which store, for people. */
  readonly where: string;
}

/** Before it connects again: a server that ends each connection at once is not asked without pause. */
const breathMs = 250;

/** What a file is written with, over one connection after the other if need be. */
export function createUpload({ connections, path, opened, withinMs, where }: UploadSpec) {
  const stopped = new AbortController();
  const firstBoot = bootOf(opened.link).catch(() => null);
  let file = opened;
  let closed: Promise<undefined> | null = null;
  let reachedBytes = -1;
  let untilMs = 0;
  const pipeline = writePipelined(opened, again);

  return {
    add: (chunk: Buffer): Promise<void> => pipeline.add(chunk),
    end: (): Promise<number> => pipeline.end(),
    link: (): Link => file.link,
    /** Once: the server gives the same handle to the next one that opens a file. */
    close: (): Promise<undefined> => (closed ??= filesOf(file.link).close(file.handle)),
    /** Nothing more is written. */
    stop: (): void => stopped.abort(new SftpError(`${path} was dropped meanwhile`)),
  };

  async function again(lost: unknown, taken: Taken): Promise<OpenFile> {
    if (!isOutage(lost)) throw lost;
    const now = performance.now();
    if (taken.bytes > reachedBytes) untilMs = now + withinMs;
    reachedBytes = taken.bytes;
    if (now > untilMs) throw lost;
    file.link.release();
    try {
      await sleep(breathMs, undefined, { signal: stopped.signal });
      file = await persist(() => reopen(taken), {
        withinMs: untilMs - now,
        mayPass: isOutage,
        signal: stopped.signal,
      });
      return file;
    } catch (error) {
      stopped.signal.throwIfAborted();
      if (!isOutage(error)) throw error;
      const seconds = Math.round(withinMs / 1_000);
      throw new SftpError(`${lost.message}, and did not come back within ${seconds} s: ${error.message}`, {
        cause: error,
        mayPass: true,
      });
    }
  }

  async function reopen(taken: Taken): Promise<OpenFile> {
    const link = await connections.hold();
    try {
      // Never made anew: who has taken it away meant it.
      const handle = await link.ask<Buffer>((sftp, answer) => sftp.open(path, 'r+', answer));
      try {
        if (!(await hasStill(link, handle, taken)))
          throw new StoreError(
            `${where} lost the connection while ${path} was written, and the server no longer has the ` +
              `${taken.bytes} bytes that it had taken. It begins anew.`,
            { mayPass: true },
          );
        stopped.signal.throwIfAborted();
        return { link, handle };
      } catch (error) {
        await filesOf(link)
          .close(handle)
          .catch(() => undefined);
        throw error;
      }
    } catch (error) {
      link.release();
      throw error;
    }
  }

  /** What a server has taken it may lose when its machine goes down. If it was not up all the time, it is read back. */
  async function hasStill(link: Link, handle: Buffer, { bytes, crc }: Taken): Promise<boolean> {
    const { size } = await link.ask<{ readonly size: number }>((sftp, answer) => sftp.fstat(handle, answer));
    if (size < bytes) return false;
    const boot = await bootOf(link);
    if (boot !== null && boot === (await firstBoot)) return true;
    let found = 0;
    for await (const piece of readPipelined(link, path, bytes)) {
      stopped.signal.throwIfAborted();
      found = crc32(piece, found);
    }
    return found === crc;
  }
}

function isOutage(error: unknown): error is SftpError {
  return error instanceof SftpError && error.mayPass;
}

const bootPath = '/proc/sys/kernel/random/boot_id';

/** Another one after each start of the server's machine (random(4)). null: it does not say. */
async function bootOf(link: Link): Promise<string | null> {
  try {
    const handle = await link.ask<Buffer>((sftp, answer) => sftp.open(bootPath, 'r', answer));
    const text = Buffer.alloc(64);
    const bytes = await link.ask<number>((sftp, answer) =>
      sftp.read(handle, text, 0, text.length, 0, answer),
    );
    await filesOf(link).close(handle);
    return text.toString('latin1', 0, bytes);
  } catch (error) {
    if (isOutage(error)) throw error;
    return null;
  }
}
