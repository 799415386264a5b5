import { posix } from 'node:path';
import type { MongoClient } from 'mongodb';
import { DEFAULT_DRILL_MEMORY_BYTES } from '../../config/schema/drill.ts';
import type { MongodbSetRecord } from '../../model/manifest.ts';
import type { Check } from '../../model/progress.ts';
import type { HostName, Site } from '../../model/site.ts';
import { isolated } from '../drill/isolated.ts';
import { boundedMemory, cacheBytesWithin } from '../drill/memory.ts';
import { openerOf, type Opener } from '../drill/opener.ts';
import { whyNoRoomIn } from '../drill/room.ts';
import type { JobContext } from '../ledger/jobs.ts';
import { withMember } from '../mongodb/connect.ts';
import { waysOut } from '../mongodb/data-directory.ts';
import { engineOf } from '../mongodb/engine.ts';
import { refusal } from '../mongodb/errors.ts';
import { settledFingerprint } from '../mongodb/fingerprint.ts';
import { longestSocketBytes, openScratch, withClient } from '../mongodb/open-copy.ts';
import type { Plain } from '../mongodb/plain.ts';
import { dataMembers, readConfig } from '../mongodb/topology.ts';
import { runCommand } from '../system/command.ts';
import { rootIn, type Copied, type CopyPlace } from './place.ts';

/** The run ends it earlier. */
const openWithinMs = 60 * 60_000;

type Of = { readonly database: string; readonly member: string } & Pick<MongodbSetRecord, 'version'>;

/**
 * What a copy of a member on this host holds, by a server of its release on the copy itself, isolated and bounded as in a
 * drill. That changes the copy: no retry cures a failure.
 */
export async function fingerprintCopy(
  site: Site,
  host: HostName,
  of: Of & Pick<MongodbSetRecord, 'marker'>,
  place: CopyPlace,
  job: JobContext,
): Promise<Plain> {
  const { signal } = job;
  try {
    if (job.attempt > 1) throw refusal('the agent ended while the copy was read, and a copy is opened once');
    return await openAndRead(site, host, of, place, job);
  } catch (error) {
    signal.throwIfAborted();
    throw refusal(error instanceof Error ? error.message : String(error));
  }
}

async function openAndRead(
  site: Site,
  host: HostName,
  { marker, ...of }: Of & Pick<MongodbSetRecord, 'marker'>,
  place: CopyPlace,
  { signal, onProcess }: JobContext,
): Promise<Plain> {
  const data = rootIn(place, place.roots[0] ?? '');
  // A link with the whole path of the data leads from its copy to a member that runs.
  const out = await waysOut(data);
  if (out.length > 0) throw refusal(`it is not opened, as it leads out of the copy: ${out.join('; ')}`);
  const { mongod } = await openerOn(site, host, of, signal);
  const why = await whyNoRoomIn(place.path);
  if (why !== null) throw refusal(why);
  const socket = posix.join(place.path, 'm.sock');
  if (Buffer.byteLength(socket) > longestSocketBytes)
    throw refusal(
      `${socket} is too long for the name of a socket (${longestSocketBytes} bytes): name a shorter folder as copies`,
    );
  if (place.by === 'btrfs') await runCommand(['btrfs', 'property', 'set', data, 'ro', 'false'], { signal });
  const memoryBytes = memoryOf(site);
  const copy = await openScratch({
    ...{ scratchDir: data, listen: { socket }, log: posix.join(place.path, 'log'), readOnly: true, marker },
    ...{ command: isolated(boundedMemory(mongod, memoryBytes)), cacheBytes: cacheBytesWithin(memoryBytes) },
    ...{ withinMs: openWithinMs, signal, onProcess },
  });
  try {
    return await withClient(copy.uri, settledFingerprint);
  } finally {
    await copy.stop();
  }
}

/** Whether the content of a member that is alone in its set can be read of its copy. A night without it is none the worse. */
export async function checkFingerprint(
  site: Site,
  host: HostName,
  { database, member }: Copied,
  signal: AbortSignal,
): Promise<readonly Check[]> {
  if (member === undefined || engineOf(site, database).fingerprint === 'none') return [];
  // One that does not answer has a row of its own.
  const written = await withMember(site, database, member, versionIfAlone, { signal }).catch(() => null);
  if (written === null) return [];
  const row = { host, subject: `${database} ${member} fingerprint` };
  try {
    const { version } = await openerOn(site, host, { database, member, version: written }, signal);
    const detail = `no other member has its content: it is read of its copy, by mongod ${version}`;
    return [{ ...row, verdict: 'go', detail }];
  } catch (error) {
    signal.throwIfAborted();
    const detail = `its content will not be compared: ${error instanceof Error ? error.message : String(error)}`;
    const hint =
      'until then a drill only validates its collections; fingerprint: none says that this is meant';
    return [{ ...row, verdict: 'warning', detail, hint }];
  }
}

async function versionIfAlone(client: MongoClient): Promise<string | null> {
  const config = await readConfig(client);
  if (config !== null && dataMembers(config).length > 1) return null;
  return String((await client.db('admin').command({ buildInfo: 1 }))['version']);
}

function openerOn(
  site: Site,
  host: HostName,
  { database, member, version }: Of,
  signal: AbortSignal,
): Promise<Opener> {
  const artifact = `what ${member} holds`;
  return openerOf(site, { database, artifact, version }, { host, memoryBytes: memoryOf(site), signal });
}

function memoryOf({ drill }: Site): number {
  return drill?.memoryBytes ?? DEFAULT_DRILL_MEMORY_BYTES;
}
