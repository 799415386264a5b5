import { z } from 'zod';

/** On the keeper, whose list decides what goes everywhere. Empty: it was pinned once. */
export const pinName = 'pin.json';

const pinSchema = z.object({ by: z.string(), why: z.string(), at: z.string() });

/** For people. A pin that cannot be read pins all the same. */
export function pinnedBy(text: string | null): string | null {
  if (text === null || text === '') return null;
  try {
    const { by, why } = pinSchema.parse(JSON.parse(text));
    return `${why} (${by})`;
  } catch {
    return 'its pin.json cannot be read';
  }
}
