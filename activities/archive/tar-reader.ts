import { bytesText } from './file-list.ts';

/** A name as tar has it, one character a byte (latin1): names need not be UTF-8. */
export interface TarEntry {
  readonly path: string;
  readonly kind: 'file' | 'hard-link' | 'symlink' | 'directory' | 'other';
  readonly sizeBytes: number;
  /** Of a link: where it leads; else empty. */
  readonly link: string;
  /** What coldbackup never writes, and another reader might understand in another way; null: nothing. */
  readonly foreign: string | null;
}

export interface TarHandler {
  entry(entry: TarEntry): void;
  /** A piece of the content of the last file. */
  content(chunk: Buffer): void;
  /** The last file is whole. */
  fileEnd(): void;
}

export interface TarReader {
  push(chunk: Buffer): void;
  /** Throws TarError unless the archive was whole. */
  finish(): void;
  /** Bytes up to its end mark, padding not counted; null: not there yet. */
  endBytes(): number | null;
}

/** Thrown when bytes are no tar archive, or not a whole one. */
export class TarError extends Error {
  override readonly name = 'TarError';
}

const blockBytes = 512;
/** Extended attributes make pax headers long; more than this is no header. */
const maxExtensionBytes = 16 * 1024 * 1024;

/**
 * Reads the stream of `tar --format=posix` and says which bytes are whose, without a copy and without a stream for
 * each file. tar-stream is not used here: it decodes names as UTF-8 for good, so that a file name in another encoding
 * could neither be listed nor checked.
 */
export function createTarReader(handler: TarHandler): TarReader {
  const header = Buffer.alloc(blockBytes);
  let headerBytes = 0;
  let remaining = 0;
  let padding = 0;
  let current: 'file' | 'extension' | 'skipped' = 'skipped';
  let extension: { kind: 'pax' | 'global' | 'long-name'; chunks: Buffer[] } | null = null;
  let global: ReadonlyMap<string, string> = new Map();
  let pax: ReadonlyMap<string, string> = new Map();
  let longName: string | null = null;
  let foreign: string | null = null;
  let zeroBlocks = 0;
  let lastPath = '';
  let pushedBytes = 0;
  let endBytes: number | null = null;

  return { push, finish, endBytes: () => endBytes };

  function push(chunk: Buffer): void {
    let offset = 0;
    while (offset < chunk.length) {
      if (remaining > 0) {
        const piece = chunk.subarray(offset, offset + remaining);
        offset += piece.length;
        remaining -= piece.length;
        if (current === 'file') handler.content(piece);
        else if (current === 'extension') extension?.chunks.push(Buffer.from(piece));
        if (remaining === 0) payloadEnd();
      } else if (padding > 0) {
        const skipped = Math.min(padding, chunk.length - offset);
        offset += skipped;
        padding -= skipped;
      } else {
        const copied = chunk.copy(header, headerBytes, offset, offset + blockBytes - headerBytes);
        offset += copied;
        headerBytes += copied;
        if (headerBytes === blockBytes) {
          headerBytes = 0;
          readHeader();
          if (zeroBlocks === 2) endBytes ??= pushedBytes + offset;
        }
      }
    }
    pushedBytes += chunk.length;
  }

  function finish(): void {
    if (zeroBlocks >= 2) return;
    throw new TarError(
      `The archive ends too early${lastPath === '' ? '' : `, in or after ${bytesText(lastPath)}`}.`,
    );
  }

  function readHeader(): void {
    if (header.every((byte) => byte === 0)) {
      zeroBlocks += 1;
      return;
    }
    if (zeroBlocks > 0) throw new TarError('The archive goes on after its end.');
    checkSum(header);
    const type = String.fromCharCode(header[156] ?? 0);
    const sizeBytes = numberAt(header, 124, 12);
    if (header.toString('latin1', 257, 265) !== 'ustar\x0000') foreign = 'a header that is not POSIX';
    if (type === 'x' || type === 'g' || type === 'L' || type === 'K') {
      begin('extension', sizeBytes);
      if (sizeBytes > maxExtensionBytes) throw new TarError(`A header of ${sizeBytes} bytes.`);
      if (type !== 'x') foreign = `a header of type ${type}`;
      if (pax.size > 0) foreign = 'two extended headers';
      extension = { kind: type === 'x' ? 'pax' : type === 'g' ? 'global' : 'long-name', chunks: [] };
      if (type === 'K') extension = null;
      if (sizeBytes === 0) payloadEnd();
      return;
    }
    const entry = entryOf(type, sizeBytes);
    lastPath = entry.path;
    pax = new Map();
    longName = null;
    foreign = null;
    handler.entry(entry);
    begin(entry.kind === 'file' ? 'file' : 'skipped', entry.sizeBytes);
    if (entry.kind === 'file' && entry.sizeBytes === 0) payloadEnd();
  }

  function entryOf(type: string, headerSize: number): TarEntry {
    const path = pax.get('path') ?? global.get('path') ?? longName ?? ustarName(header);
    if (type === 'S' || [...pax.keys()].some((key) => key.startsWith('GNU.sparse.'))) {
      throw new TarError(`${bytesText(path)} is stored as a sparse file, which coldbackup never writes.`);
    }
    const kind = kinds[type] ?? 'other';
    const size = Number(pax.get('size') ?? headerSize);
    if (!Number.isSafeInteger(size) || size < 0) throw new TarError(`${bytesText(path)} has no valid size.`);
    const hasContent = kind === 'file' || kind === 'other';
    const unknownKey = [...pax.keys()].find((key) => !paxKeys.test(key));
    return {
      path,
      kind,
      // Links and directories have no content, whatever their size field says.
      sizeBytes: hasContent ? size : 0,
      link:
        kind === 'hard-link' || kind === 'symlink'
          ? (pax.get('linkpath') ?? upToNul(header.subarray(157, 257)))
          : '',
      foreign:
        foreign ??
        (kind === 'other' ? `an entry of type ${JSON.stringify(type)}` : null) ??
        (!hasContent && size > 0 ? 'a link or folder with content' : null) ??
        (unknownKey === undefined ? null : `the pax key ${JSON.stringify(unknownKey.slice(0, 100))}`),
    };
  }

  function begin(what: typeof current, sizeBytes: number): void {
    current = what;
    remaining = sizeBytes;
    padding = (blockBytes - (sizeBytes % blockBytes)) % blockBytes;
  }

  function payloadEnd(): void {
    if (current === 'file') handler.fileEnd();
    if (current !== 'extension' || extension === null) return;
    const bytes = Buffer.concat(extension.chunks);
    if (extension.kind === 'pax') pax = paxRecords(bytes);
    else if (extension.kind === 'global') global = paxRecords(bytes);
    else longName = upToNul(bytes);
    extension = null;
  }
}

/** Of those that GNU tar writes with --xattrs and --acls. */
const paxKeys = /^(path|linkpath|size|mtime|atime|ctime|uid|gid|uname|gname|SCHILY\.(xattr|acl)\..+)$/s;

const kinds: Readonly<Record<string, TarEntry['kind']>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  '1': 'hard-link',
  '2': 'symlink',
  '5': 'directory',
};

function ustarName(header: Buffer): string {
  const name = upToNul(header.subarray(0, 100));
  const prefix = upToNul(header.subarray(345, 500));
  const isUstar = header.toString('latin1', 257, 263) === 'ustar\0';
  return isUstar && prefix !== '' ? `${prefix}/${name}` : name;
}

function upToNul(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('latin1', 0, end === -1 ? bytes.length : end);
}

/** Octal digits, or base 256 where the first bit is set. */
function numberAt(header: Buffer, start: number, length: number): number {
  const field = header.subarray(start, start + length);
  if (((field[0] ?? 0) & 0x80) === 0) {
    const digits = upToNul(field).trim();
    return digits === '' ? 0 : /^[0-7]+$/.test(digits) ? parseInt(digits, 8) : NaN;
  }
  return field.subarray(1).reduce((sum, byte) => sum * 256 + byte, 0);
}

function checkSum(header: Buffer): void {
  let sum = 8 * 32;
  for (let i = 0; i < 148; i++) sum += header[i] ?? 0;
  for (let i = 156; i < blockBytes; i++) sum += header[i] ?? 0;
  if (sum !== numberAt(header, 148, 8)) throw new TarError('A header of the archive is damaged.');
}

/** `<length> <key>=<value>\n`, the length in bytes and of the whole record (POSIX pax). */
function paxRecords(bytes: Buffer): ReadonlyMap<string, string> {
  const records = new Map<string, string>();
  let offset = 0;
  while (offset < bytes.length) {
    const space = bytes.indexOf(0x20, offset);
    const digits = bytes.toString('latin1', offset, space === -1 ? bytes.length : space);
    const length = Number(digits);
    const equals = bytes.indexOf(0x3d, space);
    const ends = offset + length - 1;
    if (!/^[1-9]\d{0,8}$/.test(digits) || equals === -1 || equals > ends || bytes[ends] !== 0x0a)
      throw new TarError('A pax header is damaged.');
    records.set(
      bytes.toString('latin1', space + 1, equals),
      bytes.toString('latin1', equals + 1, offset + length - 1),
    );
    offset += length;
  }
  return records;
}
