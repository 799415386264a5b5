import { open, readFile } from 'node:fs/promises';
import { leastCacheBytes } from '../mongodb/open-copy.ts';

const besidesCacheBytes = 1e9;
const lookEveryMs = 100;
const logTailBytes = 256 * 1024;

/** As mongod derives its cache from the memory of a host, from the bound: half of what is above 1 GB, and 256 MB at least. */
export function cacheBytesWithin(memoryBytes: number): number {
  return Math.max(leastCacheBytes, (memoryBytes - besidesCacheBytes) / 2);
}

/**
 * Runs a server that gets no more memory than this: its own data segment and private mappings, all that the kernel could
 * not take back (RLIMIT_DATA). Where the host runs short all the same, it is the first that the kernel ends. No right is
 * needed for either, and no control group: an agent's may be anybody's. It leaves no core file.
 *
 * https://man7.org/linux/man-pages/man2/getrlimit.2.html
 */
export function boundedMemory(argv: readonly string[], memoryBytes: number): readonly string[] {
  return ['prlimit', `--data=${memoryBytes}`, '--core=0', '--', 'choom', '-n', '1000', '--', ...argv];
}

export interface MemoryWatch {
  /** Of any of its servers, as far as it was seen. */
  readonly peakBytes: () => number;
  stop(): void;
}

/** Looks at how much of what RLIMIT_DATA counts a server has; `pid` gives the one that runs now. */
export function watchMemory(pid: () => number | null): MemoryWatch {
  let peak = 0;
  const timer = setInterval(() => {
    const now = pid();
    if (now === null) return;
    void readFile(`/proc/${now}/status`, 'utf8').then(
      (status) => (peak = Math.max(peak, Number(/^VmData:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024)),
      () => undefined,
    );
  }, lookEveryMs);
  return { peakBytes: () => peak, stop: () => clearInterval(timer) };
}

/** A server that got no more memory seldom says so: it ends with whatever failed for that. */
export function ranOutOfMemory(said: string, peakBytes: number, memoryBytes: number): boolean {
  if (/out of memory|bad_alloc|cannot allocate memory|unable to allocate|ENOMEM/i.test(said)) return true;
  return peakBytes > memoryBytes * 0.75 && !/checksum|corrupt/i.test(said);
}

/** The end of a server's log; '' where there is none. */
export async function endOfLog(path: string): Promise<string> {
  const file = await open(path).catch(() => null);
  if (file === null) return '';
  try {
    const { size } = await file.stat();
    const bytes = Math.min(size, logTailBytes);
    const { buffer } = await file.read(Buffer.alloc(bytes), 0, bytes, size - bytes);
    return buffer.toString('utf8');
  } finally {
    await file.close();
  }
}
