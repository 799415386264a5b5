/** One line of a file list. The path has one character a byte (latin1), as names need not be UTF-8. */
export interface ListedFile {
  readonly path: string;
  readonly sha256: string;
}

/**
 * A line as GNU sha256sum writes it: a name with a backslash, a newline or a carriage return is escaped, and the line
 * then begins with a backslash (coreutils manual, "md5sum invocation").
 */
export function listLine({ path, sha256 }: ListedFile): Buffer {
  const escaped = path.replace(/[\\\n\r]/g, (character) => escapes[character] ?? character);
  return Buffer.from(`${escaped === path ? '' : '\\'}${sha256}  ${escaped}\n`, 'latin1');
}

/** null: not a line of such a list. */
export function parseListLine(line: string): ListedFile | null {
  const match = /^(\\?)([0-9a-f]{64}) [ *]([^]+)$/.exec(line);
  if (match === null) return null;
  const [, escaped, sha256 = '', name = ''] = match;
  return {
    sha256,
    path: escaped === '' ? name : name.replace(/\\[\\nr]/g, (pair) => unescapes[pair] ?? pair),
  };
}

/** Lines of a stream of bytes, without their newlines, in latin1. */
export async function* linesOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let rest = '';
  for await (const chunk of chunks) {
    const lines = (rest + chunk.toString('latin1')).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
  if (rest !== '') yield rest;
}

/** For people: what is not UTF-8 shows as U+FFFD, control characters as escapes. */
export function bytesText(path: string): string {
  const text = Buffer.from(path, 'latin1').toString('utf8');
  // eslint-disable-next-line no-control-regex -- names may hold them, messages must not
  return /[\u0000-\u001f\u007f]/.test(text) ? JSON.stringify(text) : text;
}

const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r' };
const unescapes: Readonly<Record<string, string>> = { '\\\\': '\\', '\\n': '\n', '\\r': '\r' };
