import type { MongodbActivities } from '../../model/activities.ts';
import type { HostName, Site } from '../../model/site.ts';
import { compareMember } from './compare-member.ts';
import { describeMember } from './describe.ts';
import { readFingerprint } from './fingerprint.ts';
import { flushMember } from './flush.ts';
import { waitForGate } from './gate.ts';
import { readPrimary, writeMarker } from './marker.ts';
import { newestFirst } from './newest-first.ts';
import { writesSince } from './oplog.ts';
import type { Patience } from './poll.ts';
import { mayRejoin } from './rejoin.ts';
import { readTopology } from './topology.ts';

export interface MongodbActivityDeps {
  readonly site: Site;
  readonly host: HostName;
  readonly heartbeat: (details: unknown) => void;
  /** Of the activity that runs. */
  readonly signal: () => AbortSignal;
}

/** A member that was asked for something is waited for at most this long. */
const catchUpWithinMs = 60_000;

export function createMongodbActivities({
  site,
  host,
  heartbeat,
  signal,
}: MongodbActivityDeps): MongodbActivities {
  const patience = (untilMs: number): Patience => ({
    untilMs,
    signal: signal(),
    onWait: (still) => heartbeat({ still }),
  });
  const soon = (): Patience => patience(Date.now() + catchUpWithinMs);
  const ask = () => ({ signal: signal() });
  return {
    mongodbTopology: ({ database }) => readTopology(site, database, host, ask()),
    mongodbGate: ({ database, until }) => waitForGate(site, database, host, patience(Date.parse(until))),
    mongodbPrimary: async ({ database, member }) => ({
      primary: await readPrimary(site, database, member, ask()),
    }),
    mongodbNewestFirst: async ({ database, member, marker }) => ({
      members: await newestFirst(site, database, member, marker, ask()),
    }),
    mongodbMark: async ({ database, member, note }) => ({
      marker: await writeMarker(site, database, member, note, ask()),
    }),
    mongodbDescribe: ({ database, member }) => describeMember(site, database, member, ask()),
    mongodbFlush: async ({ database, member }) => ({
      flushed: await flushMember(site, database, member, ask()),
    }),
    mongodbFingerprint: ({ database, member, marker }) =>
      readFingerprint(site, database, member, marker, soon()),
    mongodbCompare: ({ database, member, fingerprint }) =>
      compareMember(site, database, member, fingerprint, soon()),
    mongodbRejoin: ({ database, rejoins }) => mayRejoin(site, host, database, rejoins, soon()),
    mongodbWritesSince: ({ database, member, marker }) => writesSince(site, database, member, marker, soon()),
  };
}
