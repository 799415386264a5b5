import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { WorkflowSettings } from './settings.ts';

/** The workflows of processing: while ingest answers there are always some under way, then they end one by one. */
export interface Workflows {
  /** One ends; gives its name, or undefined when none was under way. */
  endOne(): Promise<string | undefined>;
}

const underWay = 5;

export function startWorkflows({ folder, ingest }: WorkflowSettings): Workflows {
  let count = 0;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const begin = () => writeFileSync(join(folder, `workflow-${String((count += 1)).padStart(4, '0')}`), '');
  for (let n = 0; n < underWay; n += 1) begin();
  return {
    endOne: async () => {
      const [oldest] = readdirSync(folder).sort();
      // The next begins first: the count must not touch 0 while there is still something to come.
      if (await answers(ingest)) begin();
      if (oldest !== undefined) rmSync(join(folder, oldest));
      return oldest;
    },
  };
}

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(1_000) });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}
