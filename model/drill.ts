import type { CheckAnswer } from './activities.ts';
import type { CheckProof } from './manifest.ts';

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
