import { readFile } from 'node:fs/promises';

export interface Mount {
  readonly point: string;
  /** `<major>:<minor>`, one for each file system, wherever it is mounted; all subvolumes of btrfs have the same. */
  readonly device: string;
}

/** As this process sees them, proc_pid_mountinfo(5); the last on a point is the one that is seen. */
export async function readMounts(): Promise<readonly Mount[]> {
  const lines = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
  return lines.flatMap((line) => {
    const [, , device, , point] = line.split(' ');
    if (device === undefined || point === undefined) return [];
    const named = point.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(parseInt(code, 8)));
    return [{ point: named, device }];
  });
}
