import type { Report } from '../../model/progress.ts';
import type { Output } from '../output.ts';

/** Prints one line of the proof, once its problems are known. */
export type Look = (what: string, problems: Promise<readonly string[]>) => Promise<void>;

export interface Proof {
  readonly look: Look;
  /** Whether all of its lines were so. */
  readonly holds: () => boolean;
}

/** Its first line is what the run says of itself; nothing else is taken from there. */
export function beginProof(out: Output, run: string, { outcome, reason }: Report): Proof {
  const results = [
    out.check(`the ${run} is ${outcome}`, outcome === 'complete' ? [] : [reason ?? 'no reason']),
  ];
  return {
    look: async (what, problems) => {
      results.push(out.check(what, await problems.catch((error: unknown) => [String(error)])));
    },
    holds: () => results.every(Boolean),
  };
}

/** Of ids that should not be there, or should: how many, and the first of them. */
export function such(ids: readonly string[], what: string): readonly string[] {
  return ids.length > 0 ? [`${ids.length} ${what}, such as ${ids.slice(0, 3).join(', ')}`] : [];
}
