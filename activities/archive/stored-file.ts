import { createHash } from 'node:crypto';
import type { Encryption } from '../../model/site.ts';
import type { Part } from '../stores/store.ts';
import type { RunningProcess } from '../system/command.ts';
import { inputOf } from './process-input.ts';
import { ArchiveError } from './survey.ts';

export interface Digest {
  readonly sha256: string;
  readonly sizeBytes: number;
}

/** A file on its way into a store: what is written is encrypted where the store says so. */
export interface StoredFile {
  write(chunk: Buffer): Promise<void>;
  /** Of the bytes in the store; null: they are those that were written. Not sealed yet. */
  end(): Promise<Digest | null>;
  seal(): Promise<void>;
  discard(): Promise<void>;
}

export function createStoredFile(
  part: Part,
  encryption: Encryption | undefined,
  start: (argv: readonly string[], stdin: 'pipe') => RunningProcess,
): StoredFile {
  if (encryption === undefined)
    return {
      write: (chunk) => part.write(chunk),
      end: async () => null,
      seal: () => part.seal(),
      discard: () => part.discard(),
    };
  return createEncrypted(part, encryptArgv(encryption), start);
}

/** The public keys alone: this host cannot read what it has written. */
function encryptArgv({ recipients }: Encryption): readonly string[] {
  return ['age', '--encrypt', ...recipients.flatMap((key) => ['--recipient', key])];
}

function createEncrypted(
  part: Part,
  argv: readonly string[],
  start: (argv: readonly string[], stdin: 'pipe') => RunningProcess,
): StoredFile {
  const age = start(argv, 'pipe');
  const input = inputOf(age);
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const storing = (async () => {
    try {
      for await (const chunk of age.stdout as AsyncIterable<Buffer>) {
        const taken = part.write(chunk);
        hash.update(chunk);
        sizeBytes += chunk.length;
        await taken;
      }
    } catch (error) {
      // Else whoever writes would wait for ever.
      await age.kill();
      throw error;
    }
    const { exitCode, stderr } = await age.done;
    if (exitCode === 0) return;
    throw new ArchiveError(
      `${JSON.stringify(argv)} ended with exit code ${exitCode}: ${stderr.trim().slice(-2_000)}`,
      { mayPass: exitCode > 128 },
    );
  })();
  storing.catch(() => undefined);
  return {
    async write(chunk) {
      if (await input.write(chunk)) return;
      await storing;
      throw new ArchiveError(`${JSON.stringify(argv)} ended before all was written to it.`, {
        mayPass: true,
      });
    },
    async end() {
      input.end();
      await storing;
      return { sha256: hash.digest('hex'), sizeBytes };
    },
    seal: () => part.seal(),
    async discard() {
      await Promise.all([age.kill(), part.discard()]);
    },
  };
}
