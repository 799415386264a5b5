import { bytesText, parseListLine } from './file-list.ts';
import type { ListedFile } from './file-list.ts';

export interface Comparison {
  /** The next file of the archive, with the digest that it has there. */
  found(file: ListedFile): Promise<void>;
  /** The next file of the archive; what the list says of it, or null. */
  named(path: string): Promise<ListedFile | null>;
  end(): Promise<void>;
}

/** Of an archive's files with its list; both are in the order of the archive. A window of the list is kept, to tell a missing file from an extra one. */
export function createComparison(
  artifact: string,
  lines: AsyncGenerator<string> | null,
  problem: (what: string) => void,
): Comparison {
  const windowSize = 1_000;
  const ahead: ListedFile[] = [];
  let ended = lines === null;
  const fill = async (count: number): Promise<void> => {
    while (!ended && ahead.length < count) {
      const next = await lines?.next();
      if (next === undefined || next.done === true) ended = true;
      else {
        const listed = parseListLine(next.value);
        if (listed === null)
          problem(`${artifact}.files: is no list of digests: ${bytesText(next.value.slice(0, 200))}`);
        else ahead.push(listed);
      }
    }
  };
  const missing = (listed: ListedFile): void => problem(`${artifact}: ${bytesText(listed.path)} is missing`);
  const named = async (path: string): Promise<ListedFile | null> => {
    if (lines === null) return null;
    await fill(1);
    if (ahead[0]?.path !== path) {
      await fill(windowSize);
      const place = ahead.findIndex((listed) => listed.path === path);
      if (place === -1) {
        problem(`${artifact}: ${bytesText(path)} is not in the list of files`);
        return null;
      }
      ahead.splice(0, place).forEach(missing);
    }
    return ahead.shift() ?? null;
  };
  return {
    named,
    async found(file) {
      const listed = await named(file.path);
      if (listed === null || listed.sha256 === file.sha256) return;
      problem(
        `${artifact}: ${bytesText(file.path)} was changed, its SHA-256 is not the one in the list of files`,
      );
    },
    async end() {
      for (;;) {
        await fill(1);
        const listed = ahead.shift();
        if (listed === undefined) return;
        missing(listed);
      }
    },
  };
}
