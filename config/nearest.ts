import { distance } from 'fastest-levenshtein';

/** The known name that was probably meant: close in spelling, in relation to its length. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const [best] = byDistance(name, known);
  return best !== undefined && distance(name, best) <= Math.max(2, Math.floor(best.length / 3))
    ? best
    : undefined;
}

/** All known names, the nearest first. */
export function byDistance(name: string, known: readonly string[]): readonly string[] {
  return known
    .map((candidate) => ({ candidate, away: distance(name, candidate) }))
    .sort((a, b) => a.away - b.away || a.candidate.localeCompare(b.candidate))
    .map(({ candidate }) => candidate);
}

/** ` "logbok": did you mean "logbook"?`, or only the name where none is near. */
export function quoteWithNearest(name: string, known: readonly string[]): string {
  const meant = nearest(name, known);
  return meant === undefined ? `"${name}"` : `"${name}": did you mean "${meant}"?`;
}
