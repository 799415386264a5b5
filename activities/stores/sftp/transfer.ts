import { filesOf } from './files.ts';
import type { Link } from './connection.ts';
import { SftpError } from './connection.ts';

/** What OpenSSH takes in one request at most is a little more. */
const pieceBytes = 128 * 1024;
/** On the way at once: a long line must not be waited for at each request. */
const windowBytes = 4 * 1024 * 1024;

/** Writes one after the other into an open file, many under way at once. */
export function writePipelined(link: Link, handle: Buffer) {
  let position = 0;
  let underWayBytes = 0;
  let failed: { readonly error: unknown } | null = null;
  let wake = (): void => undefined;
  const settled = (): Promise<void> =>
    new Promise((resolve) => {
      wake = resolve;
    });
  const mustBeWell = (): void => {
    if (failed !== null) throw failed.error;
  };
  const send = (piece: Buffer): void => {
    const at = position;
    position += piece.length;
    underWayBytes += piece.length;
    link
      .ask<undefined>((sftp, answer) => sftp.write(handle, piece, 0, piece.length, at, answer))
      .catch((error: unknown) => {
        failed ??= { error };
      })
      .finally(() => {
        underWayBytes -= piece.length;
        wake();
      });
  };
  return {
    async add(chunk: Buffer): Promise<void> {
      for (let from = 0; from < chunk.length; from += pieceBytes) {
        mustBeWell();
        send(chunk.subarray(from, from + pieceBytes));
        while (underWayBytes >= windowBytes) await settled();
      }
      mustBeWell();
    },
    /** Of all that was written, once the server has it. */
    async end(): Promise<number> {
      while (underWayBytes > 0) await settled();
      mustBeWell();
      return position;
    },
  };
}

export async function* readPipelined(link: Link, path: string): AsyncGenerator<Buffer> {
  const handle = await link.ask<Buffer>((sftp, answer) => sftp.open(path, 'r', answer));
  const ahead: Promise<Buffer>[] = [];
  try {
    const { size } = await link.ask<{ readonly size: number }>((sftp, answer) => sftp.fstat(handle, answer));
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
    const pipeline = writePipelined(link, handle);
    await pipeline.add(content);
    await pipeline.end();
    await files.sync(handle);
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
