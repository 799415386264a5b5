import type { RunningProcess } from '../system/command.ts';

export interface ProcessInput {
  /** Resolves when more is welcome. false: the process reads no more, and its exit code says why. */
  write(chunk: Buffer): Promise<boolean>;
  /** false: the process reads no more. */
  isOpen(): boolean;
  end(): void;
}

/** One listener and one waiter for the whole stream: a promise for each chunk would pile up over a long copy. */
export function inputOf({ stdin }: RunningProcess): ProcessInput {
  if (stdin === null) throw new Error('The process was started without a pipe to write to.');
  let wake = (): void => undefined;
  for (const event of ['drain', 'error', 'close']) stdin.on(event, () => wake());
  return {
    async write(chunk) {
      if (!stdin.destroyed && !stdin.write(chunk)) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      return !stdin.destroyed;
    },
    isOpen: () => !stdin.destroyed,
    end: () => stdin.end(),
  };
}
