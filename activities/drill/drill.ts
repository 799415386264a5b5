import { join } from 'node:path';
import type { DrillActivities, DrillProgress, Drilled } from '../../model/activities.ts';
import {
  memberRecord,
  type Artifact,
  type ArtifactProof,
  type Manifest,
  type MongodbSetRecord,
} from '../../model/manifest.ts';
import type { Argv, Drill, HostName, Site } from '../../model/site.ts';
import { unpackArtifact } from '../archive/unpack.ts';
import type { Journal } from '../ledger/journal.ts';
import { longestSocketBytes, openScratch } from '../mongodb/open-copy.ts';
import { openStore } from '../stores/activities.ts';
import { readProofs, recordProof } from '../stores/proofs.ts';
import { artifactsHere, showSet } from '../stores/sets.ts';
import type { Store } from '../stores/store.ts';
import { blameOfHost } from './blame.ts';
import { compareMongodb } from './compare-mongodb.ts';
import { isolated, isRefusedDrill, refusedDrill } from './isolated.ts';
import { boundedMemory, cacheBytesWithin, endOfLog, watchMemory } from './memory.ts';
import { openerOf, type Opener } from './opener.ts';
import { asNoRoom, checkRoom, watchRoom } from './room.ts';
import { clearScratch, makeScratch, scratchOf } from './scratch.ts';

export interface DrillDeps {
  readonly site: Site;
  readonly host: HostName;
  readonly journal: Pick<Journal, 'state'>;
  /** Of the attempt that runs. */
  readonly signal: () => AbortSignal;
  /** Of the agent itself. */
  readonly ended: AbortSignal;
  /** Gives a function for the attempt that runs. */
  readonly listen: () => (progress: DrillProgress) => void;
  readonly warn: (message: string, fields: Record<string, unknown>) => void;
}

/** A server that replays a long oplog takes its time; one that hangs must not hold the scratch folder for ever. */
const openWithinMs = 60 * 60_000;
const lookEveryMs = 500;

/** Sets restored where nobody is disturbed, one drill after the other. What an earlier agent left is cleared first. */
export function createDrillActivities(deps: DrillDeps): DrillActivities {
  const { site, host, journal } = deps;
  const scratch = scratchOf(site, host);
  let last = scratch === null ? Promise.resolve() : clearScratch(scratch).catch(tellLeft);
  const storeOf = (input: { readonly site: string; readonly store: string }): Store => {
    if (input.site !== site.site)
      throw refusedDrill(`Host ${host} serves site ${site.site}, not ${input.site}.`);
    return openStore(site, host, input.store);
  };
  return {
    async drillSet(input) {
      const attempt = deps.signal();
      const tell = deps.listen();
      const turn = last.then(async () => {
        attempt.throwIfAborted();
        const store = storeOf(input);
        const drill = await begin(await showSet(store, input.set));
        return undisturbed(attempt, (signal) => drillAll({ ...drill, store, signal, tell }));
      });
      last = turn.then(
        () => undefined,
        () => undefined,
      );
      return turn;
    },
    recordProof: async (input) => recordProof(storeOf(input), input.set, input.proof),
    readProofs: async (input) => readProofs(storeOf(input), input.set),
  };

  function tellLeft(error: unknown): void {
    deps.warn('the scratch folder of drills could not be cleared', { host, scratch, error: String(error) });
  }

  async function begin(manifest: Manifest): Promise<Pick<Drilling, 'place' | 'manifest' | 'folder'>> {
    if (scratch === null || site.drill === undefined)
      throw refusedDrill(`The site file of ${host} names no place for drills: add drill: { scratch: PATH }.`);
    if (site.drill.host !== undefined && site.drill.host !== host)
      throw refusedDrill(`Drills of ${site.site} are on ${site.drill.host}, not on ${host}.`);
    return { place: site.drill, manifest, folder: scratch };
  }

  /** A night has the host to itself: no drill begins while a run holds it, and one that runs is given up. */
  async function undisturbed<T>(attempt: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const held = (): Error | null => {
      const { claim } = journal.state();
      return claim === null
        ? null
        : refusedDrill(
            `${host} is held by ${claim.procedure} of ${claim.night}: a drill waits until that has ended.`,
          );
    };
    const before = held();
    if (before !== null) throw before;
    const claimed = new AbortController();
    const look = setInterval(() => {
      const now = held();
      if (now !== null) claimed.abort(now);
    }, lookEveryMs);
    try {
      return await work(AbortSignal.any([attempt, deps.ended, claimed.signal]));
    } finally {
      clearInterval(look);
    }
  }

  async function drillAll(drill: Drilling): Promise<Drilled> {
    const { place, manifest, store, signal } = drill;
    const here = artifactsHere(store, manifest);
    await checkRoom(place, host, here);
    const { memoryBytes } = place;
    const restored: { readonly artifact: Artifact; readonly opener: Opener | null }[] = [];
    for (const artifact of here) {
      const { database, name } = artifact;
      const record = memberRecord(manifest, { database, artifact: name });
      const opener = record && (await openerOf(site, { database, ...record }, { host, memoryBytes, signal }));
      restored.push({ artifact, opener });
    }
    const parts: Drilled[] = [];
    for (const { artifact, opener } of restored) parts.push(await drillArtifact(drill, artifact, opener));
    return {
      artifacts: parts.flatMap(({ artifacts }) => artifacts),
      problems: parts.flatMap(({ problems }) => problems),
      notCompared: parts.flatMap(({ notCompared }) => notCompared),
      answers: parts.flatMap(({ answers }) => answers),
    };
  }

  async function drillArtifact(drill: Drilling, artifact: Artifact, opener: Opener | null): Promise<Drilled> {
    const { place, manifest, store, folder, tell } = drill;
    const { name, database, contentBytes } = artifact;
    const record = memberRecord(manifest, { database, artifact: name });
    const socket = socketIn(folder);
    await checkRoom(place, host, [artifact]);
    let opens = false;
    const room = watchRoom(place, { folder, artifact, adds: () => opens });
    const signal = AbortSignal.any([drill.signal, room.signal]);
    const took = { unpack: 0, open: 0, compare: 0 };
    let readBytes = 0;
    const phase = async <T>(which: keyof typeof took, work: () => Promise<T>): Promise<T> => {
      const beganMs = performance.now();
      tell({ artifact: name, phase: which, readBytes, totalBytes: artifact.sizeBytes });
      try {
        return await work();
      } finally {
        took[which] += Math.round(performance.now() - beganMs);
      }
    };
    const onBytes = (bytes: number): void => {
      readBytes += bytes;
      tell({ artifact: name, phase: 'unpack', readBytes, totalBytes: artifact.sizeBytes });
    };
    const proof = (files: number): ArtifactProof => ({
      ...{ artifact: name, database, host, contentBytes, files, tookMs: took },
      server: opener?.version ?? null,
    });
    try {
      const target = await makeScratch(folder);
      const links = record === null ? 'into-roots' : 'below-target';
      const unpacked = await phase('unpack', () =>
        unpackArtifact({ store, set: manifest.set, artifact, target, links }, { signal, onBytes }),
      );
      const result = { artifacts: [proof(unpacked.files)], notCompared: [], answers: [] };
      if (unpacked.problems.length > 0 || record === null || opener === null)
        return { ...result, problems: unpacked.problems };
      const data = join(target, unpacked.roots[0] ?? '');
      opens = true;
      return {
        ...result,
        ...(await openAndCompare(record, {
          place,
          mongod: opener.mongod,
          data,
          socket,
          database,
          signal,
          phase,
        })),
      };
    } catch (error) {
      signal.throwIfAborted();
      throw (await asNoRoom(place, String(error))) ?? error;
    } finally {
      room.stop();
      await clearScratch(folder).catch(tellLeft);
    }
  }

  async function openAndCompare(
    record: MongodbSetRecord,
    { place, mongod, data, socket, database, signal, phase }: Opening,
  ): Promise<Omit<Drilled, 'artifacts'>> {
    const checks = place.checks.filter((check) => check.database === database);
    const log = `${data}.log`;
    let pid: number | null = null;
    const memory = watchMemory(() => pid);
    try {
      const copy = await phase('open', () =>
        openScratch({
          scratchDir: data,
          command: isolated(boundedMemory(mongod, place.memoryBytes)),
          cacheBytes: cacheBytesWithin(place.memoryBytes),
          ...{ listen: { socket }, log },
          onProcess: (started) => (pid = started),
          marker: record.marker,
          withinMs: openWithinMs,
          signal,
        }),
      );
      try {
        return await phase('compare', () => compareMongodb(copy.uri, record, checks, signal));
      } finally {
        await copy.stop();
      }
    } catch (error) {
      signal.throwIfAborted();
      if (isRefusedDrill(error)) throw error;
      const scene = { drill: place, name: record.artifact, peakBytes: memory.peakBytes() };
      const ofHost = await blameOfHost(error, { ...scene, log: await endOfLog(log) });
      if (ofHost !== null) throw ofHost;
      const why = error instanceof Error ? error.message : String(error);
      return {
        problems: [`${record.artifact}: could not be opened and read: ${why}`],
        notCompared: [],
        answers: [],
      };
    } finally {
      memory.stop();
    }
  }
}

interface Drilling {
  readonly place: Drill;
  readonly manifest: Manifest;
  readonly store: Store;
  readonly folder: string;
  readonly signal: AbortSignal;
  readonly tell: (progress: DrillProgress) => void;
}

interface Opening {
  readonly place: Drill;
  readonly mongod: Argv;
  readonly data: string;
  readonly socket: string;
  readonly database: string;
  readonly signal: AbortSignal;
  readonly phase: <T>(which: 'open' | 'compare', work: () => Promise<T>) => Promise<T>;
}

/** The driver knows a socket by the end of its name. */
function socketIn(folder: string): string {
  const socket = join(folder, 'm.sock');
  if (Buffer.byteLength(socket) <= longestSocketBytes) return socket;
  throw refusedDrill(
    `${socket} is too long for the name of a socket (${longestSocketBytes} bytes): choose a shorter drill.scratch.`,
  );
}
