import * as z from 'zod';
import type { BackupStep, Step, WaitStep } from '../../model/site.ts';
import { defined, oneOf, strict } from './expect.ts';
import { oneKeyOf, pickOne } from './one-key-of.ts';
import type { Known } from './reference.ts';
import { backupSchema } from './steps/backup.ts';
import { parallelSchema, toParallel } from './steps/parallel.ts';
import { stopSchema, toStop } from './steps/stop.ts';
import { waitSchema } from './steps/wait.ts';

export const onFailure = oneOf('fail', 'ask');

export function stepSchema(known: Known): z.ZodType<Step> {
  const step: z.ZodType<Step> = z.lazy(() => schema);
  const schema = oneKeyOf(
    strict({
      stop: stopSchema(known)
        .exactOptional()
        .describe('Services, one after the other, each gone before the next; on several hosts at once.'),
      wait: waitSchema(known)
        .exactOptional()
        .describe('For a clock time, a job that must have ended, or a number.'),
      parallel: parallelSchema(step)
        .exactOptional()
        .describe('Branches by name, at the same time; the next step begins when all have ended.'),
      backup: backupSchema(known).exactOptional().describe('Copies databases into stores.'),
      'on-failure': onFailure.exactOptional().describe('Of this step; default: that of the procedure.'),
    }),
    ['stop', 'wait', 'parallel', 'backup'],
  ).transform((raw) => ({
    ...pickOne<typeof raw, Step>(raw, {
      stop: toStop,
      wait: (wait: WaitStep) => wait,
      parallel: toParallel,
      backup: (backup: BackupStep) => backup,
    } satisfies Record<Step['kind'], unknown>),
    ...defined({ onFailure: raw['on-failure'] }),
  }));
  return schema;
}
