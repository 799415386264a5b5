import { ApplicationFailure, type UpdateDefinition } from '@temporalio/common';
import { condition, setHandler, type CancellationScope } from '@temporalio/workflow';
import type { Instant } from '../model/plan.ts';
import { agent } from './agents.ts';
import { messageOf } from './failures.ts';
import * as messages from './messages.ts';
import type { Decision, Extension } from './messages.ts';
import { latestOf, nowInstant, planOf, showNow, tell, type OpenQuestion, type Run } from './run.ts';

/** For an agent to put the new instant on its disk. */
const extendWithinMs = 30_000;

interface Word<I extends Decision> {
  /** Throws why it cannot be; a wrong word leaves no trace. */
  readonly check: (run: Run, input: I) => void;
  /** Says what was decided in a line of the record, does it, and answers with what follows from it. */
  readonly detail?: (run: Run, input: I) => string;
  readonly act: (run: Run, input: I) => string | Promise<string>;
}

/** What operators may decide, one line in the table for each word. */
export function obeyOperators(run: Run, forward: CancellationScope): void {
  const when = <I extends Decision>(update: UpdateDefinition<string, [I]>, word: Word<I>): void => {
    const check = (input: I) => {
      checkWord(input);
      word.check(run, input);
    };
    const handle = (input: I) => {
      // Between the validator and this nothing runs, but a second word may have come in the same moment.
      check(input);
      const detail = word.detail?.(run, input);
      const { by, why } = input;
      run.decisions.push({
        at: nowInstant(),
        what: update.name,
        by,
        why,
        ...(detail !== undefined && { detail }),
      });
      const answer = word.act(run, input);
      tell(run);
      return answer;
    };
    setHandler<string, [I], UpdateDefinition<string, [I]>>(update, handle as never, { validator: check });
  };
  const end = (outcome: 'cancelled' | 'incomplete', reason: string): string => {
    run.end = { outcome, reason };
    forward.cancel();
    return `${services(run)} brought back`;
  };

  when(messages.abortUpdate, {
    check: assertNotOver,
    act: (_, { by, why }) => end('cancelled', `aborted by ${by}: ${why}`),
  });
  when(messages.bringBackUpdate, {
    check: (one) => {
      assertNotOver(one);
      if (one.phase === 'archive')
        throw refuse('all services are back; archives are being made, which abort ends');
      if (one.phase !== 'steps' && one.phase !== 'restart-wait')
        throw refuse('nothing was changed yet, so there is nothing to bring back: abort ends the run');
    },
    act: (one, { by, why }) => {
      if (one.phase !== 'restart-wait') return end('incomplete', `brought back early by ${by}: ${why}`);
      one.early = true;
      return `all steps are done: ${services(one)} brought back now`;
    },
  });
  when(messages.pauseUpdate, {
    check: (one) => {
      assertNotOver(one);
      if (one.phase === 'restart-wait' || one.phase === 'archive')
        throw refuse('all steps are done: there is none to pause before');
      if (one.paused !== null) throw refuse(`it is paused already, by ${one.paused.by}: ${one.paused.why}`);
    },
    act: (one) => {
      one.paused = one.decisions.at(-1) ?? null;
      return 'nothing new is begun; what runs goes on, and all is still brought back in time';
    },
  });
  when(messages.resumeUpdate, {
    check: (one) => {
      if (one.paused === null) throw refuse('it is not paused');
    },
    act: (one) => {
      one.paused = null;
      return 'the next step begins';
    },
  });
  when(messages.skipUpdate, {
    check: (one, { step }) => assertSkippable(one, step),
    detail: (_, { step }) => step,
    act: (one, { step }) => {
      one.skips.add(step);
      const asked = one.questions.get(step);
      if (asked === undefined) one.running.get(step)?.cancel();
      else asked.answer = asked.question.answers.includes('skip') ? 'skip' : 'continue';
      return `step ${step} is skipped`;
    },
  });
  when(messages.retryUpdate, {
    check: (one, { step }) => {
      if (!one.bringBackPause) questionOf(one, step, 'retry');
    },
    detail: (one, { step }) =>
      one.bringBackPause ? 'bring-back' : questionOf(one, step, 'retry').question.step,
    act: (one, { step }) => {
      if (!one.bringBackPause) return give(questionOf(one, step, 'retry'), 'retry');
      one.bringBackPause = false;
      return 'bringing back is tried again now';
    },
  });
  when(messages.answerUpdate, {
    check: (one, { step, answer }) => void questionOf(one, step, answer),
    detail: (one, { step, answer }) => `${questionOf(one, step, answer).question.step}: ${answer}`,
    act: (one, { step, answer }) => give(questionOf(one, step, answer), answer),
  });
  when(messages.extendUpdate, {
    check: (one, { upBy }) => {
      assertNotOver(one);
      if (Number.isNaN(Date.parse(upBy)))
        throw refuse(`expected an instant such as 2026-11-22T09:00:00+01:00, not "${upBy}"`);
      const { hardLimit } = planOf(one);
      if (Date.parse(upBy) > Date.parse(hardLimit))
        throw refuse(`up by ${upBy} is past the hard limit of this night, ${hardLimit}`);
      if (Date.parse(upBy) <= Date.parse(one.deadline.upBy))
        throw refuse(`it is up by ${one.deadline.upBy} already: an extension is later`);
    },
    detail: (_, { upBy }) => `up by ${asInstant(upBy)}`,
    act: extend,
  });
}

/** Where a pause holds: before a step. */
export async function whilePaused(run: Run): Promise<void> {
  const { paused } = run;
  if (paused === null) return;
  const done = showNow(run, 'pause', {
    step: 'pause',
    text: `paused by ${paused.by}: ${paused.why}`,
    until: latestOf(run),
    then: 'all is brought back',
  });
  await condition(() => run.paused === null).finally(done);
}

/** Counts only where every agent has it on its disk: each would bring back alone at the old instant otherwise. */
async function extend(run: Run, { upBy: wanted, by, why }: Extension): Promise<string> {
  const upBy = asInstant(wanted);
  const hosts = [...run.refs];
  const answers = await Promise.all(
    hosts.map(async ([host, ref]) => {
      try {
        await agent(planOf(run).site, host, {
          summary: `extend to ${upBy}`,
          withinMs: extendWithinMs,
          allWithinMs: extendWithinMs,
        }).extend({ ref, upBy, by, why });
        return null;
      } catch (error) {
        return `${host}: ${messageOf(error)}`;
      }
    }),
  );
  const refused = answers.filter((answer) => answer !== null);
  if (refused.length > 0) {
    const words = `not extended, it stays up by ${run.deadline.upBy}: ${refused.join('; ')}`;
    run.warnings.push(words);
    return words;
  }
  const laterMs = Date.parse(upBy) - Date.parse(run.deadline.upBy);
  if (laterMs <= 0) return `up by ${run.deadline.upBy}, by a later word`;
  const { restartAt } = run.deadline;
  run.deadline = {
    upBy,
    restartAt: restartAt === null ? null : new Date(Date.parse(restartAt) + laterMs).toISOString(),
  };
  tell(run);
  return `up by ${upBy}, on ${hosts.length === 0 ? 'the run' : hosts.map(([host]) => host).join(', ')}`;
}

function asInstant(words: string): Instant {
  return new Date(words).toISOString();
}

function checkWord({ by, why, sentAt, validForMs }: Decision): void {
  if (typeof by !== 'string' || typeof why !== 'string' || by.trim() === '' || why.trim() === '')
    throw refuse('say who (by) and why');
  if (sentAt === undefined || validForMs === undefined) return;
  if (Date.now() > Date.parse(sentAt) + validForMs)
    throw refuse(`sent at ${sentAt}, and only good for ${validForMs} ms: send it again`);
}

function assertNotOver(run: Run): void {
  if (run.phase === 'bring-back' || run.phase === 'finish' || run.phase === 'ended' || run.end !== null)
    throw refuse('all is being brought back already');
}

function assertSkippable(run: Run, step: string): void {
  assertNotOver(run);
  const state = run.steps.get(step);
  if (state === undefined)
    throw refuse(`there is no step "${step}"; there are ${[...run.steps.keys()].join(', ') || 'none yet'}`);
  if (run.skips.has(step)) throw refuse(`step ${step} is skipped already`);
  if (state.outcome !== 'running' && state.outcome !== 'not-reached')
    throw refuse(`step ${step} is over: ${state.outcome}`);
}

/** The question that an answer is meant for: of this step, or the only one. */
function questionOf(run: Run, step: string | undefined, answer: string): OpenQuestion {
  const open = [...run.questions.values()].filter((one) => one.answer === null);
  if (open.length === 0) throw refuse('nothing is asked');
  const steps = open.map(({ question }) => question.step).join(', ');
  if (step === undefined && open.length > 1) throw refuse(`say which step is meant: ${steps}`);
  const asked = open.find(({ question }) => step === undefined || question.step === step);
  if (asked === undefined) throw refuse(`step ${step ?? ''} asks nothing; asked by ${steps}`);
  const { question } = asked;
  if (!question.answers.includes(answer))
    throw refuse(`step ${question.step} asks for one of ${question.answers.join(', ')}, not "${answer}"`);
  return asked;
}

function give(asked: OpenQuestion, answer: string): string {
  asked.answer = answer;
  return `step ${asked.question.step}: ${answer}`;
}

/** A plain error in a handler would fail the workflow task, again and again. */
function refuse(why: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(why, 'Refused');
}

function services(run: Run): string {
  const { size } = run.down;
  return size === 1 ? '1 service is' : `${size} services are`;
}
