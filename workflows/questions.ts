import { CancellationScope, condition } from '@temporalio/workflow';
import type { Question } from '../model/progress.ts';
import { nowInstant, showNow, tell, type OpenQuestion, type Run } from './run.ts';

/** Asks the operators; gives their answer, or what `meanwhile` came to, which may make the question needless. */
export async function ask<T>(
  run: Run,
  asked: Omit<Question, 'since'>,
  meanwhile: () => Promise<T>,
): Promise<{ readonly answer: string } | { readonly became: T }> {
  const question = { ...asked, since: nowInstant() };
  const open: OpenQuestion = { question, answer: null };
  run.questions.set(question.step, open);
  const done = showNow(run, `question ${question.step}`, {
    step: question.step,
    text: `asks: ${question.text} (${question.answers.join(', ')})`,
    until: question.by,
    then: question.else,
  });
  const scope = new CancellationScope();
  try {
    return await scope.run(() =>
      Promise.race([
        meanwhile().then((became) => ({ became })),
        condition(() => open.answer !== null).then(() => ({ answer: open.answer ?? question.else })),
      ]),
    );
  } finally {
    scope.cancel();
    run.questions.delete(question.step);
    done();
    tell(run);
  }
}

/** For a question that only an answer ends, or the cancelling of all that goes forward. */
export function nothing(): Promise<void> {
  return condition(() => false);
}
