import { access, constants } from 'node:fs/promises';
import type { Artifact, SetRef } from '../../model/manifest.ts';
import { readable } from '../stores/damage.ts';
import type { Store } from '../stores/store.ts';
import { startProcess } from '../system/command.ts';
import { linesOf } from './file-list.ts';
import { inputOf } from './process-input.ts';
import { ArchiveError } from './survey.ts';

/** Whether this host can read what is inside, not only the bytes as stored. */
export async function canRead(store: Store, { encrypted }: Artifact): Promise<boolean> {
  if (encrypted === undefined) return true;
  const identity = store.encrypt?.identity;
  if (identity === undefined) return false;
  return access(identity, constants.R_OK).then(
    () => true,
    () => false,
  );
}

/** Throws ArchiveError, with what to do, where this host cannot read what is inside. */
export async function mustBeReadable(store: Store, artifact: Artifact): Promise<void> {
  if (await canRead(store, artifact)) return;
  const identity = store.encrypt?.identity;
  const keys = artifact.encrypted?.age.join(', ') ?? '';
  throw new ArchiveError(
    `${artifact.name} is encrypted to ${keys}, and ${store.host} cannot read it: ` +
      (identity === undefined
        ? `name the identity under stores.${store.name}.encrypt in the site file, and put it on this host.`
        : `the identity ${identity} is not on this host, or the agent's user cannot read it.`),
  );
}

/**
 * What was written before it was encrypted. `stored` is read to its end, whatever comes of it. Throws ArchiveError when
 * it cannot be decrypted.
 */
export function readContent(
  store: Store,
  artifact: Artifact,
  stored: AsyncIterable<Buffer>,
  signal: AbortSignal,
): AsyncIterable<Buffer> {
  if (artifact.encrypted === undefined) return stored;
  return decrypted(store.encrypt?.identity ?? '', artifact.name, stored, signal);
}

/** The list of files of an artifact, line by line; one that cannot be decrypted is a problem, and ends. */
export async function* listLines(list: StoredList, problem: (what: string) => void): AsyncGenerator<string> {
  const { store, artifact, signal } = list;
  const stored = readable({ ...list, file: artifact.fileList.name }, problem);
  try {
    yield* linesOf(readContent(store, artifact, stored, signal));
  } catch (error) {
    if (!(error instanceof ArchiveError)) throw error;
    problem(error.message);
  }
}

export interface StoredList {
  readonly store: Store;
  readonly set: SetRef;
  readonly artifact: Artifact;
  readonly signal: AbortSignal;
}

async function* decrypted(
  identity: string,
  name: string,
  stored: AsyncIterable<Buffer>,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const argv = ['age', '--decrypt', '--identity', identity];
  const age = startProcess(argv, { stdin: 'pipe', signal, env: { LC_ALL: 'C' } });
  const input = inputOf(age);
  const feeding = (async () => {
    let reads = true;
    for await (const chunk of stored) if (reads) reads = await input.write(chunk);
    input.end();
  })();
  // A store that fails ends what waits for more of it.
  feeding.catch(() => age.kill());
  try {
    for await (const chunk of age.stdout as AsyncIterable<Buffer>) yield chunk;
    await feeding;
    const { exitCode, stderr } = await age.done;
    if (exitCode !== 0)
      throw new ArchiveError(
        `${name}: cannot be decrypted: age ended with exit code ${exitCode}: ${stderr.trim().slice(-2_000)}`,
      );
  } finally {
    await age.kill();
    await feeding.catch(() => undefined);
  }
}
