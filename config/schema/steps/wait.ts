import * as z from 'zod';
import type { WaitStep } from '../../../model/site.ts';
import { defined, expected, oneOf, strict, text } from '../expect.ts';
import { oneKeyOf, pickOne } from '../one-key-of.ts';
import { reference } from '../reference.ts';
import type { Known } from '../reference.ts';
import { clockTime } from '../scalars.ts';

export function waitSchema(known: Known) {
  return oneKeyOf(
    strict({
      clock: clockTime.exactOptional().describe('Wait until this clock time.'),
      job: reference('job', known).exactOptional().describe('Wait until this job has ended well.'),
      'began-after': clockTime
        .exactOptional()
        .describe('With job: only a run of the job that began after this clock time counts.'),
      count: reference('count', known)
        .exactOptional()
        .describe('Wait until this count has reached a number.'),
      reaches: z
        .int({ error: expected('a whole number') })
        .exactOptional()
        .describe('With count: the number to reach.'),
      until: clockTime.exactOptional().describe('With job or count: how long to wait at most.'),
      otherwise: otherwise
        .exactOptional()
        .describe('With job or count: what happens at until. fail: all is brought back, there is no set.'),
    }),
    ['clock', 'job', 'count'],
  )
    .superRefine((raw, context) => {
      const kind = raw.job !== undefined ? 'job' : raw.count !== undefined ? 'count' : 'clock';
      for (const key of ['began-after', 'reaches', 'until', 'otherwise'] as const) {
        const belongs = BELONGS[kind].includes(key);
        if (belongs === (raw[key] !== undefined)) continue;
        const message = belongs
          ? `missing: a wait for a ${kind} has ${key}`
          : `a wait for a ${kind} has no ${key}`;
        context.addIssue({ code: 'custom', path: [key], message, params: { missing: belongs ? [key] : [] } });
      }
    })
    .transform((raw): WaitStep => ({
      kind: 'wait',
      for: pickOne<typeof raw, WaitStep['for']>(raw, {
        clock: (at) => ({ kind: 'clock', at }),
        job: (job) => ({ kind: 'job', job, beganAfter: raw['began-after'] ?? '' }),
        count: (count) => ({ kind: 'count', count, reaches: raw.reaches ?? 0 }),
      }),
      otherwise: raw.otherwise ?? 'fail',
      ...defined({ until: raw.until }),
    }));
}

const otherwise = z.union(
  [
    oneOf('fail', 'continue'),
    strict({
      ask: text(/\S/, 'a question, such as "Go on with workflows active?"').describe(
        'What the operators are asked; the wait goes on meanwhile.',
      ),
      by: clockTime.describe('Until when they may answer (coldbackup answer), after until.'),
      else: oneOf('fail', 'continue').describe('What is done when nobody has answered by then.'),
    }),
  ],
  { error: expected('fail, continue, or { ask: "…", by: "02:45", else: fail }') },
);

const BELONGS: Readonly<Record<WaitStep['for']['kind'], readonly string[]>> = {
  clock: [],
  job: ['began-after', 'until', 'otherwise'],
  count: ['reaches', 'until', 'otherwise'],
};
