import { Timestamp, type Document } from 'mongodb';
import type { Optime } from '../../model/ledger.ts';

export function optimeOf(raw: Document | undefined): Optime | null {
  const ts: unknown = raw?.['ts'];
  if (!(ts instanceof Timestamp)) return null;
  return { ts: `${ts.t},${ts.i}`, term: Number(raw?.['t'] ?? -1) };
}

export function timestampOf(optime: Optime): Timestamp {
  const [t, i] = parts(optime);
  return new Timestamp({ t, i });
}

/** Negative: a before b. The term decides first, as in the server's own order. */
export function compareOptimes(a: Optime, b: Optime): number {
  const [aSeconds, aIncrement] = parts(a);
  const [bSeconds, bIncrement] = parts(b);
  return a.term - b.term || aSeconds - bSeconds || aIncrement - bIncrement;
}

export function reached(at: Optime | null, marker: Optime): boolean {
  return at !== null && compareOptimes(at, marker) >= 0;
}

export function optimeText(optime: Optime | null): string {
  return optime === null ? 'none' : `${optime.ts} of term ${optime.term}`;
}

function parts(optime: Optime): [number, number] {
  const [seconds, increment] = optime.ts.split(',').map(Number);
  return [seconds ?? 0, increment ?? 0];
}
