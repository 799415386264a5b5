import { createHash } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Artifact, SetRef } from '../../model/manifest.ts';
import { bytesText, parseListLine } from '../archive/file-list.ts';
import { listLines } from '../archive/stored-content.ts';
import type { Store } from '../stores/store.ts';
import { createProblems } from '../stores/verify.ts';

export interface FilesComparison {
  readonly store: Store;
  readonly set: SetRef;
  readonly artifact: Artifact;
  /** Where the artifact was unpacked. */
  readonly target: string;
  readonly signal: AbortSignal;
}

/** Reads every file again from the disk that it was restored to, and compares it with the list. Returns what differs. */
export async function compareFiles(comparison: FilesComparison): Promise<readonly string[]> {
  const { artifact, target, signal } = comparison;
  const problems = createProblems();
  for await (const line of listLines(comparison, problems.add)) {
    signal.throwIfAborted();
    const listed = parseListLine(line);
    if (listed === null) continue; // said already, while unpacking
    const found = await digestOfFile(Buffer.from(`${target}/`, 'utf8'), listed.path, signal);
    const name = `${artifact.name}: ${bytesText(listed.path)}`;
    if (found === null) problems.add(`${name} is missing where it was restored`);
    else if (found !== listed.sha256) problems.add(`${name} differs where it was restored`);
  }
  return problems.all();
}

async function digestOfFile(folder: Buffer, path: string, signal: AbortSignal): Promise<string | null> {
  const file = Buffer.concat([folder, Buffer.from(path, 'latin1')]);
  const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW).catch(() => null);
  if (handle === null) return null;
  const hash = createHash('sha256');
  for await (const chunk of createReadStream('', {
    fd: handle,
    highWaterMark: 1024 * 1024,
  }) as AsyncIterable<Buffer>) {
    signal.throwIfAborted();
    hash.update(chunk);
  }
  return hash.digest('hex');
}
