import { paint } from '../cli/terminal.ts';

/** What the demo tells whoever looks. */
export interface Output {
  line: (text: string) => void;
  /** A heading, with the time since the start. */
  phase: (title: string) => void;
  /** Says what is being done, and in the end how long it took. */
  during: <T>(what: string, work: () => Promise<T>) => Promise<T>;
  /** One line of the proof; gives back whether it is so. */
  check: (what: string, problems: readonly string[]) => boolean;
}

export function createOutput(startedAt = performance.now()): Output {
  const line = (text: string) => void process.stdout.write(`${text}\n`);
  const colours = paint();
  return {
    line,
    phase: (title) =>
      line(`\n${colours.bold(title)}   ${colours.dim(seconds(performance.now() - startedAt))}`),
    during: async (what, work) => {
      const began = performance.now();
      line(`… ${what}`);
      const result = await work();
      line(`  ${colours.dim(`took ${seconds(performance.now() - began)}`)}`);
      return result;
    },
    check: (what, problems) => {
      const isSo = problems.length === 0;
      line(isSo ? colours.green(`✓ ${what}`) : colours.red(`✗ ${what}`));
      for (const problem of problems.slice(0, 10)) line(`    ${problem}`);
      return isSo;
    },
  };
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
