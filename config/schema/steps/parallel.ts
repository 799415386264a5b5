import type * as z from 'zod';
import type { ParallelStep, Step } from '../../../model/site.ts';
import { list, named } from '../expect.ts';
import { NAME } from '../scalars.ts';

export function parallelSchema(step: z.ZodType<Step>) {
  return named(NAME, list(step, 'steps')).refine((branches) => Object.keys(branches).length > 0, {
    error: 'expected at least one branch',
  });
}

export function toParallel(branches: ParallelStep['branches']): ParallelStep {
  return { kind: 'parallel', branches };
}
