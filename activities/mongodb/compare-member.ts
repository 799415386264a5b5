import type { MongodbComparison } from '../../model/activities.ts';
import type { Site } from '../../model/site.ts';
import { compareFingerprints } from './compare-fingerprints.ts';
import { readFingerprint } from './fingerprint.ts';
import type { Plain } from './plain.ts';
import type { Patience } from './poll.ts';

/** What a running member holds, compared with a fingerprint of the past. */
export async function compareMember(
  site: Site,
  database: string,
  member: string,
  expected: Plain | null,
  patience: Patience,
): Promise<MongodbComparison> {
  const before = whyNone(expected, 'no other member could be asked at the backup');
  if (expected === null || before !== null) return { problems: [], notCompared: before };
  const found = await readFingerprint(site, database, member, null, patience);
  const now = whyNone(found, '');
  return now === null
    ? { problems: compareFingerprints(expected, found), notCompared: null }
    : { problems: [], notCompared: now };
}

function whyNone(fingerprint: Plain | null, otherwise: string): string | null {
  if (fingerprint === null) return otherwise;
  const why = fingerprint['none'];
  return typeof why === 'string' ? why : null;
}
