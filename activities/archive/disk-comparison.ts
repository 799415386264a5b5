import { Worker } from 'node:worker_threads';
import { bytesText, type ListedFile } from './file-list.ts';
import { ArchiveError } from './survey.ts';

export interface DiskComparison {
  /** Files that are whole on the disk, by what the list says of them. Resolves when more is welcome. */
  add(files: readonly ListedFile[]): Promise<void>;
  /** Resolves once all of them were read. */
  end(): Promise<void>;
  /** At any time, also after the end. Does not wait for a disk that hangs. */
  close(): void;
}

export interface DiskComparisonSpec {
  /** Where the files lie, by their paths in the archive. */
  readonly target: string;
  readonly artifact: string;
  /** Then whoever waits gets its reason. */
  readonly signal: AbortSignal;
  readonly problem: (what: string) => void;
}

/** More than these would pile up where the disk is slower than what unpacks. */
const mostWaiting = 4_000;

/**
 * Reads files again where they were unpacked, and compares their SHA-256, in a thread of its own: this one reads the
 * archive meanwhile.
 */
export function compareOnDisk({ target, artifact, signal, problem }: DiskComparisonSpec): DiskComparison {
  const worker = new Worker(`(${hashingThread.toString()})()`, {
    eval: true,
    workerData: { folder: `${target}/` },
    resourceLimits: { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 4 },
  });
  let waiting = 0;
  let failure: Error | null = null;
  let wake = (): void => undefined;
  const fail = (error: unknown): void => {
    failure ??= error instanceof Error ? error : new Error(String(error));
    wake();
  };
  const onAbort = (): void => fail(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  worker.on('message', ({ count, wrong }: Answer) => {
    waiting -= count;
    for (const { path, what } of wrong)
      problem(`${artifact}: ${bytesText(path)} ${what} where it was restored`);
    wake();
  });
  worker.on('error', (error) =>
    fail(new ArchiveError(`Files of ${artifact} cannot be read where they were restored: ${String(error)}`)),
  );
  worker.on('exit', () => fail(new Error(`The thread that reads the files of ${artifact} again has ended.`)));

  return {
    async add(files) {
      if (files.length === 0) return;
      waiting += files.length;
      worker.postMessage(files);
      await waitingAtMost(mostWaiting);
    },
    end: () => waitingAtMost(0),
    close() {
      signal.removeEventListener('abort', onAbort);
      void worker.terminate();
    },
  };

  async function waitingAtMost(most: number): Promise<void> {
    while (waiting > most && failure === null)
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    if (failure !== null) throw failure;
  }
}

interface Answer {
  readonly count: number;
  /** `is missing`, `differs`, or why it cannot be read. */
  readonly wrong: readonly { readonly path: string; readonly what: string }[];
}

/** The text of this function is all that the thread runs: it must name nothing outside of itself. */
function hashingThread(): void {
  const { closeSync, constants, openSync, readSync } = process.getBuiltinModule('node:fs');
  const { createHash } = process.getBuiltinModule('node:crypto');
  const { parentPort, ...thread } = process.getBuiltinModule('node:worker_threads');
  const folder = Buffer.from((thread.workerData as { folder: string }).folder, 'utf8');
  const piece = Buffer.allocUnsafe(1024 * 1024);

  parentPort?.on('message', (files: readonly { path: string; sha256: string }[]) => {
    const wrong: { path: string; what: string }[] = [];
    for (const { path, sha256 } of files) {
      const what = lookAt(path, sha256);
      if (what !== null) wrong.push({ path, what });
    }
    parentPort.postMessage({ count: files.length, wrong });
  });

  function lookAt(path: string, sha256: string): string | null {
    const file = Buffer.concat([folder, Buffer.from(path, 'latin1')]);
    try {
      const fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW);
      try {
        return digestOf(fd) === sha256 ? null : 'differs';
      } finally {
        closeSync(fd);
      }
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') return 'is missing';
      if (code === 'ELOOP' || code === 'EISDIR' || code === 'ENXIO') return `cannot be read (${message})`;
      // The disk, or the rights, of this host: nothing is said about the archive.
      throw error;
    }
  }

  function digestOf(fd: number): string {
    const hash = createHash('sha256');
    for (;;) {
      const count = readSync(fd, piece);
      if (count === 0) return hash.digest('hex');
      hash.update(piece.subarray(0, count));
    }
  }
}
