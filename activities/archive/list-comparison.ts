import { bytesText, parseListLine } from './file-list.ts';
import type { ListedFile } from './file-list.ts';

export interface Comparison {
  found(file: ListedFile): Promise<void>;
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
  return {
    async found(file) {
      if (lines === null) return;
      await fill(1);
      if (ahead[0]?.path !== file.path) {
        await fill(windowSize);
        const place = ahead.findIndex((listed) => listed.path === file.path);
        if (place === -1) {
          problem(`${artifact}: ${bytesText(file.path)} is not in the list of files`);
          return;
        }
        ahead.splice(0, place).forEach(missing);
      }
      if (ahead.shift()?.sha256 !== file.sha256) {
        problem(
          `${artifact}: ${bytesText(file.path)} was changed, its SHA-256 is not the one in the list of files`,
        );
      }
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
