import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ResticStore } from '../../../model/site.ts';
import { inputOf } from '../../archive/process-input.ts';
import { CommandError, runCommand, startProcess } from '../../system/command.ts';
import { readSecret } from '../../system/secrets.ts';
import { isLocked } from './errors.ts';
import { ourHost, ourTag, recordsIn, tagsOf, type RecordSpec, type StoredRecord } from './records.ts';

const withinMs = 2 * 60_000;
/** Whoever prunes may take longer: it is then tried again as a whole. */
const lockPauseMs = 1_000;
/** At a time: an argument list has an end. */
const forgetAtOnce = 500;
/** What a night's prune moves at most; whole packs that nobody needs any more just go. */
const repackAtMost = '2G';
const pruneWithinMs = 4 * 60_000;

/** Locks of it are left behind when it is ended otherwise (until 0.17). */
const endSignal = 'SIGINT';

/** What a store needs of restic. Throws CommandError, SecretError. */
export function createRepository(spec: ResticStore, lockPatienceMs: number) {
  const repository = {
    list: async (): Promise<readonly StoredRecord[]> => {
      const { stdout } = await run(['snapshots', '--json', '--no-lock', '--host', ourHost, '--tag', ourTag]);
      return recordsIn(JSON.parse(stdout));
    },

    /** At once: it is there or not. An empty content is kept as a line end, as restic takes nothing empty. */
    add: async (record: RecordSpec, content: Buffer = Buffer.alloc(0)): Promise<void> => {
      await run(addArgs(record), content.length === 0 ? Buffer.from('\n') : content);
    },

    /** Content that comes bit by bit; what is there when its writer dies is kept all the same. */
    stream: async (record: RecordSpec): Promise<Streamed> => {
      const argv = argvOf(addArgs(record));
      const process = startProcess(argv, { stdin: 'pipe', env: await environment(), endSignal });
      const input = inputOf(process);
      process.stdout.resume();
      const ended = async (): Promise<void> => {
        const { exitCode, stderr } = await process.done;
        if (exitCode !== 0) throw failed(argv, exitCode, stderr);
      };
      return {
        async write(chunk) {
          if (await input.write(chunk)) return;
          await ended();
          throw failed(argv, 0, 'it ended before all was written to it');
        },
        async end() {
          input.end();
          await ended();
        },
        stop: () => process.kill(),
      };
    },

    /** To its end, or the reader's. */
    async *read({ id, path }: Pick<StoredRecord, 'id' | 'path'>): AsyncGenerator<Buffer> {
      const argv = argvOf(['dump', id, `/${path}`]);
      const waitFor = patience();
      for (let isBegun = false; ;) {
        const process = startProcess(argv, { env: await environment(), endSignal });
        try {
          for await (const chunk of process.stdout as AsyncIterable<Buffer>) {
            isBegun = true;
            yield chunk;
          }
          const { exitCode, stderr } = await process.done;
          if (exitCode === 0) return;
          const error = failed(argv, exitCode, stderr);
          if (isBegun) throw error;
          await waitFor(error);
        } finally {
          await process.kill();
        }
      }
    },

    readText: async ({ id, path }: Pick<StoredRecord, 'id' | 'path'>): Promise<string> =>
      (await run(['dump', '--no-lock', id, `/${path}`])).stdout,

    forget: async (ids: readonly string[]): Promise<void> => {
      for (let from = 0; from < ids.length; from += forgetAtOnce)
        await run(['forget', ...ids.slice(from, from + forgetAtOnce)]);
    },

    prune: async (): Promise<void> => {
      await run(['prune', '--max-repack-size', repackAtMost], undefined, pruneWithinMs);
    },
  };
  return repository;

  async function run(args: readonly string[], content?: Buffer, timeoutMs = withinMs) {
    const waitFor = patience();
    for (;;) {
      const stdinFile = content === undefined ? undefined : fileOf(content);
      try {
        return await runCommand(argvOf(args), {
          ...{ env: await environment(), timeoutMs, endSignal },
          ...(stdinFile !== undefined && { stdinFile }),
        });
      } catch (error) {
        await waitFor(error);
      } finally {
        if (stdinFile !== undefined) closeSync(stdinFile);
      }
    }
  }

  /** Waits a little for whoever has the repository for himself, after the locks of the dead were removed; else throws. */
  function patience(): (error: unknown) => Promise<void> {
    const until = performance.now() + lockPatienceMs;
    let attempt = 0;
    return async (error) => {
      attempt += 1;
      if (!isLocked(error) || (attempt > 1 && performance.now() > until)) throw error;
      if (attempt > 1) await sleep(lockPauseMs);
      else await runCommand(argvOf(['unlock']), { env: await environment(), timeoutMs: withinMs, endSignal });
    };
  }

  function argvOf(args: readonly string[]): readonly string[] {
    const cache = spec.cache === undefined ? ['--no-cache'] : ['--cache-dir', spec.cache];
    return ['restic', '--quiet', ...cache, ...args];
  }

  /** Secrets go no other way: an argument can be seen by everybody. */
  async function environment(): Promise<Record<string, string>> {
    const more = await Promise.all(
      Object.entries(spec.environment).map(async ([name, ref]) => [name, await readSecret(ref)] as const),
    );
    return {
      ...Object.fromEntries(more),
      ...{
        LC_ALL: 'C',
        RESTIC_REPOSITORY: spec.repository,
        RESTIC_PASSWORD: await readSecret(spec.password),
      },
    };
  }
}

export type Repository = ReturnType<typeof createRepository>;

export interface Streamed {
  write(chunk: Buffer): Promise<void>;
  /** Its snapshot is there. */
  end(): Promise<void>;
  /** It makes no snapshot any more, unless it just did. */
  stop(): Promise<void>;
}

function addArgs(record: RecordSpec): readonly string[] {
  return [
    ...['backup', '--stdin', '--stdin-filename', `/${record.path}`, '--host', ourHost],
    ...tagsOf(record).flatMap((tag) => ['--tag', tag]),
  ];
}

/** Without a name: whole before restic reads it, and gone with this process. */
function fileOf(content: Buffer): number {
  const folder = mkdtempSync(join(tmpdir(), 'coldbackup-restic-'));
  try {
    const file = join(folder, 'content');
    writeFileSync(file, content, { mode: 0o600 });
    return openSync(file, 'r');
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function failed(argv: readonly string[], exitCode: number, stderr: string): CommandError {
  return new CommandError(argv, `ended with exit code ${exitCode}`, { exitCode, stderr });
}
