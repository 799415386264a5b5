import type { Site } from '../../model/site.ts';
import type { Finding } from '../problem.ts';
import { retentionWords } from '../schema/procedure.ts';

/** Under `restore` restores are shown, and remembered in the journals; `keep` has rules or stores. */
export function nameRules({ procedures, stores }: Site): readonly Finding[] {
  return [
    ...retentionWords
      .filter((word) => Object.hasOwn(stores, word))
      .map((word) => ({
        path: ['stores', word],
        message: `a store cannot be called ${word}: a rule of "keep" is`,
        hint: 'give it another name',
      })),
    ...(Object.hasOwn(procedures, 'restore') ? [restoreIsTaken] : []),
  ];
}

const restoreIsTaken: Finding = {
  path: ['procedures', 'restore'],
  message: 'a procedure cannot be called restore: runs of "coldbackup restore" are',
  hint: 'give it another name',
};
