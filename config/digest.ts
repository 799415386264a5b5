import { createHash } from 'node:crypto';
import type { Site } from '../model/site.ts';

/** SHA-256 of what the file says: neither comments, nor the order of keys, nor two ways to write one thing change it. */
export function digestOf(site: Site): string {
  return createHash('sha256').update(canonical(site)).digest('hex');
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => {
    if (typeof part !== 'object' || part === null || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
