import type { CheckAnswer } from './activities.ts';
import type { CheckProof, Proof, SetRef, SetSummary } from './manifest.ts';

/** What a drill ends with; one whose proof has not passed ends as a failure that carries it. */
export interface Drill {
  readonly set: SetRef;
  readonly store: string;
  readonly proof: Proof;
  /** Stores that could not be asked for sets; absent: none. */
  readonly warnings?: readonly string[];
}

/**
 * A proof is of the bytes in one store: of those that hold a complete set, the one that was drilled least recently, so that each
 * has its turn. Passed or not: what failed is said, and is no reason to try nothing else. Of equal ones the first.
 */
export function leastDrilled(sets: readonly SetSummary[]): string | undefined {
  const whole = sets.filter(({ complete, publishedAt }) => complete && publishedAt !== '');
  const newest = new Map<string, string>();
  for (const { store, proof } of whole) {
    const before = newest.get(store) ?? '';
    newest.set(store, proof !== undefined && proof.at > before ? proof.at : before);
  }
  return [...newest].reduce<readonly [string, string] | undefined>(
    (least, one) => (least === undefined || one[1] < least[1] ? one : least),
    undefined,
  )?.[0];
}

/** Answers of several hosts to one question are one answer. */
export function judgeChecks(answers: readonly CheckAnswer[]): readonly CheckProof[] {
  const questions = [...new Set(answers.map(({ what }) => what))];
  return questions.map((question) => judge(answers.filter(({ what }) => what === question)));
}

function judge(answers: readonly CheckAnswer[]): CheckProof {
  const [first] = answers;
  if (first === undefined) return { what: '', passed: false, found: 'nothing was asked' };
  const { what, expect } = first;
  const found = answers.reduce((sum, answer) => sum + answer.found, 0);
  const equal = answers.reduce((sum, answer) => sum + answer.equal, 0);
  if (expect.kind === 'field')
    return { what, passed: found > 0 && equal === found, found: `found ${found}, of which ${equal} have it` };
  const passed = expect.kind === 'count' ? found === expect.count : found >= expect.count;
  return { what, passed, found: `found ${found}` };
}
