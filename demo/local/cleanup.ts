import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startProcess, type Started, type StartOptions } from './processes.ts';

/** What has to be undone in the end, the latest first. */
export interface Cleanup {
  add(undo: () => unknown): void;
  /** A new folder that is removed in the end. */
  folder(): Promise<string>;
  /** Starts a program that is ended, with its group, in the end. */
  start(command: readonly string[], options?: StartOptions): Promise<Started>;
  /** Undoes everything, even when some of it fails; then throws what failed. Needs no `this`: `afterAll(cleanup.run)`. */
  run: () => Promise<void>;
}

/** Collects what a test or the demo leaves on the machine. */
export function createCleanup(): Cleanup {
  const undos: (() => unknown)[] = [];
  const add = (undo: () => unknown) => void undos.push(undo);
  return {
    add,
    folder: async () => {
      const path = await mkdtemp(join(tmpdir(), 'coldbackup-'));
      add(() => rm(path, { recursive: true, force: true, maxRetries: 5 }));
      return path;
    },
    start: async (command, options) => {
      const started = await startProcess(command, options);
      add(() => started.stop());
      return started;
    },
    run: async () => {
      const errors: unknown[] = [];
      for (let undo = undos.pop(); undo; undo = undos.pop()) {
        try {
          await undo();
        } catch (error) {
          errors.push(error);
        }
      }
      if (errors.length > 0)
        throw new AggregateError(errors, `cleaning up failed: ${errors.map(String).join('; ')}`);
    },
  };
}
