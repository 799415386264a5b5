import { crc32 } from 'node:zlib';
import { filesOf } from './files.ts';
import type { Link } from './connection.ts';
import { SftpError } from './connection.ts';

/** What OpenSSH takes in one request at most is a little more. */
const pieceBytes = 128 * 1024;
/** On the way at once: a long line must not be waited for at each request. */
const windowBytes = 4 * 1024 * 1024;

export interface OpenFile {
  readonly link: Link;
  readonly handle: Buffer;
}

/** What the server has acknowledged without a gap. */
export interface Taken {
  readonly bytes: number;
  /** CRC-32 of them. */
  readonly crc: number;
}

interface Piece {
  readonly at: number;
  readonly bytes: Buffer;
  taken: boolean;
}

/**
 * Writes one after the other into an open file, many under way at once. What is not acknowledged is kept, and sent once
 * more into the file that `again` opens when a request has failed; it throws what is final.
 */
export function writePipelined(opened: OpenFile, again: (error: unknown, taken: Taken) => Promise<OpenFile>) {
  let file = opened;
  let position = 0;
  let taken: Taken = { bytes: 0, crc: 0 };
  let waiting: Piece[] = [];
  let waitingBytes = 0;
  const state = { opening: false, failed: null as { readonly error: unknown } | null };
  let wake = (): void => undefined;
  const settled = (): Promise<void> =>
    new Promise((resolve) => {
      wake = resolve;
    });
  const mustBeWell = (): void => {
    if (state.failed !== null) throw state.failed.error;
  };
  const send = (piece: Piece): void => {
    const { link, handle } = file;
    const { at, bytes } = piece;
    link
      .ask<undefined>((sftp, answer) => sftp.write(handle, bytes, 0, bytes.length, at, answer))
      .then(
        () => acknowledge(piece),
        (error: unknown) => {
          if (file.handle === handle) openAgain(error);
        },
      );
  };
  const acknowledge = (piece: Piece): void => {
    piece.taken = true;
    for (let [first] = waiting; first?.taken === true; [first] = waiting) {
      waiting.shift();
      waitingBytes -= first.bytes.length;
      taken = { bytes: taken.bytes + first.bytes.length, crc: crc32(first.bytes, taken.crc) };
    }
    wake();
  };
  const openAgain = (error: unknown): void => {
    if (state.opening || state.failed !== null) return;
    state.opening = true;
    void reopen(error)
      .catch((reason: unknown) => {
        state.failed = { error: reason };
        [waiting, waitingBytes] = [[], 0];
      })
      .finally(() => {
        state.opening = false;
        wake();
      });
  };
  const reopen = async (error: unknown): Promise<void> => {
    file = await again(error, taken);
    for (const piece of waiting) if (!piece.taken) send(piece);
  };
  return {
    async add(chunk: Buffer): Promise<void> {
      for (let from = 0; from < chunk.length; from += pieceBytes) {
        mustBeWell();
        const piece = { at: position, bytes: chunk.subarray(from, from + pieceBytes), taken: false };
        position += piece.bytes.length;
        waitingBytes += piece.bytes.length;
        waiting.push(piece);
        if (!state.opening) send(piece);
        while (waitingBytes >= windowBytes) await settled();
      }
      mustBeWell();
    },
    /** Of all that was written, once it is on the server's disk. */
    async end(): Promise<number> {
      for (;;) {
        while (state.opening || waitingBytes > 0) await settled();
        mustBeWell();
        const { link, handle } = file;
        try {
          await filesOf(link).sync(handle);
          return position;
        } catch (error) {
          openAgain(error);
        }
      }
    },
  };
}

/** For what is soon written once more. */
async function neverAgain(error: unknown): Promise<never> {
  throw error;
}

export async function* readPipelined(link: Link, path: string, upToBytes = Infinity): AsyncGenerator<Buffer> {
  const handle = await link.ask<Buffer>((sftp, answer) => sftp.open(path, 'r', answer));
  const ahead: Promise<Buffer>[] = [];
  try {
    const status = await link.ask<{ readonly size: number }>((sftp, answer) => sftp.fstat(handle, answer));
    const size = Math.min(status.size, upToBytes);
    let asked = 0;
    for (;;) {
      while (asked < size && ahead.length * pieceBytes < windowBytes) {
        const piece = readPiece(link, handle, asked, Math.min(pieceBytes, size - asked));
        piece.catch(() => undefined);
        ahead.push(piece);
        asked += pieceBytes;
      }
      const next = ahead.shift();
      if (next === undefined) return;
      yield await next;
    }
  } finally {
    await Promise.allSettled(ahead);
    if (!link.isLost()) await filesOf(link).close(handle);
  }
}

export async function readWhole(link: Link, path: string): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of readPipelined(link, path)) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** A new file, on the disk when this returns. */
export async function writeFileWhole(link: Link, path: string, content: Buffer): Promise<void> {
  const files = filesOf(link);
  const handle = await link.ask<Buffer>((sftp, answer) => sftp.open(path, 'wx', { mode: 0o600 }, answer));
  try {
    const pipeline = writePipelined({ link, handle }, neverAgain);
    await pipeline.add(content);
    await pipeline.end();
  } finally {
    if (!link.isLost()) await files.close(handle);
  }
}

/** A server may give less than it was asked for. */
async function readPiece(link: Link, handle: Buffer, at: number, bytes: number): Promise<Buffer> {
  const piece = Buffer.allocUnsafe(bytes);
  let got = 0;
  while (got < bytes) {
    const from = got;
    const read = await link.ask<number>((sftp, answer) =>
      sftp.read(handle, piece, from, bytes - from, at + from, answer),
    );
    if (read === 0) throw new SftpError('the file became shorter while it was read');
    got += read;
  }
  return piece;
}
