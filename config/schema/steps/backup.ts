import type { BackupStep } from '../../../model/site.ts';
import { defined, distinct, oneOf, strict } from '../expect.ts';
import { reference } from '../reference.ts';
import type { Known } from '../reference.ts';

export function backupSchema(known: Known) {
  return strict({
    databases: distinct(reference('database', known), 'databases').describe(
      'What is copied; independent members and hosts at the same time.',
    ),
    method: oneOf('cold').describe('cold: copied while provably at rest.'),
    from: oneOf('primary', 'secondary')
      .exactOptional()
      .describe('MongoDB: which member of each set is stopped and copied. Default: primary.'),
    to: distinct(reference('store', known), 'stores').describe(
      'The stores that the set goes to, from one read.',
    ),
    needs: oneOf('all', 'any')
      .exactOptional()
      .describe(
        'Of several stores. all (the default): one that fails fails the step. any: it is left out and named, while there is another.',
      ),
  })
    .superRefine(({ to, needs }, context) => {
      if (needs !== undefined && to.length === 1)
        context.addIssue({
          code: 'custom',
          path: ['needs'],
          message: '"needs" is about several stores, and "to" names one',
        });
    })
    .transform(({ needs, ...raw }): BackupStep => ({
      kind: 'backup',
      ...raw,
      from: raw.from ?? 'primary',
      ...defined({ needs }),
    }));
}
