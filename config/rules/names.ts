import type { Site } from '../../model/site.ts';
import type { Finding } from '../problem.ts';

/** Under this name restores are shown, and remembered in the journals. */
export function nameRules({ procedures }: Site): readonly Finding[] {
  if (!Object.hasOwn(procedures, 'restore')) return [];
  return [
    {
      path: ['procedures', 'restore'],
      message: 'a procedure cannot be called restore: runs of "coldbackup restore" are',
      hint: 'give it another name',
    },
  ];
}
