import { setTimeout as delay } from 'node:timers/promises';
import type { Change, ChangeResult, Found } from '../../model/ledger.ts';
import type { HostName, Service, Site } from '../../model/site.ts';
import { copyKey, copyOf, restoredAs, type Resource } from '../../model/resource.ts';
import { copiedData, copyPlace } from '../copies/place.ts';
import { restorePlace, type RestoreOwner } from '../restore/place.ts';
import { startTimeOf } from '../system/processes.ts';
import { killProcesses } from './jobs.ts';
import type { EntryState } from './records.ts';
import { refuse } from './refusals.ts';
import type { World } from './world.ts';

interface Options {
  readonly signal: AbortSignal;
}

/** What a change is resolved to when it is begun: it is undone as that, whatever the site file says by then. */
export type Resolved = Pick<EntryState, 'service' | 'place' | 'restore'>;

/** What it alters. */
export function resourceOf(change: Change): Resource {
  switch (change.kind) {
    case 'service-stopped':
      return { kind: 'service', service: change.service };
    case 'balancer-stopped':
      return { kind: 'balancer', database: change.database };
    case 'snapshot-made':
      return copyOf(change);
    case 'set-unpacked':
    case 'data-moved-aside':
      return restoredAs(change);
    case 'balancer-replaced':
      return { kind: 'settings', database: change.database };
  }
}

/** @param of the claim and the change: no other has copies of the same names. */
export function resolve(
  site: Site,
  host: HostName,
  change: Change,
  of: { readonly id: string; readonly claim: RestoreOwner },
): Resolved {
  const nothing: Resolved = { service: null, place: null, restore: null };
  switch (change.kind) {
    case 'snapshot-made': {
      const data = copiedData(site, change);
      if (data.host === host)
        return { ...nothing, place: copyPlace(data, change.by, `${of.claim.journal} ${of.id}`) };
      throw refuse('UnknownName', `${copyKey(change)} is not on ${host}`);
    }
    case 'balancer-stopped':
    case 'balancer-replaced':
      return nothing;
    case 'set-unpacked':
    case 'data-moved-aside':
      return { ...nothing, restore: restorePlace(site, host, restoredAs(change), of.claim) };
    case 'service-stopped': {
      const service = site.services[change.service];
      if (service !== undefined) return { ...nothing, service };
      throw refuse('UnknownName', `this host's site file names no service "${change.service}"`);
    }
  }
}

export async function observe(world: World, site: Site, resource: Resource): Promise<Found> {
  switch (resource.kind) {
    case 'snapshot':
    case 'settings':
      return { kind: resource.kind };
    case 'balancer':
      return world.balancer.observe(resource.database);
    case 'data':
    case 'look':
      return world.restore.observe(resource);
    case 'service': {
      const service = site.services[resource.service];
      if (service !== undefined) return world.observe(service);
      throw refuse('UnknownName', `this host's site file names no service "${resource.service}"`);
    }
  }
}

/** Makes the change. Doing it twice does no harm. */
export async function act(
  world: World,
  change: Change,
  { service, place, restore }: Resolved,
  options: Options & {
    readonly found: Found;
    readonly untilMs: number;
    readonly by: string;
    readonly onProcess: (pid: number) => void;
  },
): Promise<Pick<ChangeResult, 'stopped' | 'aside'>> {
  switch (change.kind) {
    case 'balancer-stopped':
      await world.balancer.stop(change.database, options);
      return {};
    case 'balancer-replaced':
      return {};
    case 'snapshot-made':
      await world.snapshot.make(change, known(place), options);
      return {};
    case 'set-unpacked':
      await world.restore.unpack(change, known(restore), options);
      return {};
    case 'data-moved-aside':
      return { aside: await world.restore.moveAside(change, known(restore), dataOf(options.found)) };
    case 'service-stopped':
      return {
        stopped: await world.stop(known(service), { ...options, withinMs: known(service).stopWithinMs }),
      };
  }
}

/** Puts back what was found, and says what it did. The only undo there is, whoever calls it. */
export async function undo(world: World, entry: EntryState, options: Options): Promise<string> {
  const { change, found } = entry;
  switch (change.kind) {
    case 'balancer-stopped':
      if (found.kind === 'balancer') await world.balancer.restore(change.database, found, options);
      return 'balancer settings as found';
    case 'snapshot-made':
      // What still writes there, of an agent that died, would make it anew; a server may have opened it.
      await processesGone(entry);
      await world.snapshot.remove(known(entry.place));
      return 'removed';
    case 'set-unpacked':
      if (entry.endedAt === null) await processesGone(entry);
      await world.restore.remove(known(entry.restore), found);
      return 'removed';
    case 'data-moved-aside':
      return undoMove(world, entry);
    case 'balancer-replaced': {
      if (entry.committedAt === null) return 'the balancer is that of the data as it was found';
      const { database, settings } = change;
      await world.balancer.restore(database, { kind: 'balancer', settings }, options);
      return 'balancer settings as the night of the set had found them';
    }
    case 'service-stopped':
      return startAgain(world, change.service, entry, options);
  }
}

async function undoMove(world: World, entry: EntryState): Promise<string> {
  const place = known(entry.restore);
  if (entry.committedAt === null) return world.restore.moveBack(place, dataOf(entry.found));
  const aside = await world.restore.aside(place);
  return `the restored data stays${aside.length === 0 ? '' : `; what was there before is in ${aside.join(', ')}`}`;
}

async function startAgain(world: World, name: string, entry: EntryState, options: Options): Promise<string> {
  const { found } = entry;
  const service = known(entry.service);
  if (entry.endedAt === null) await settle(world, service, entry, options);
  await world.letGo(service);
  const wasStopped = found.kind !== 'service' || found.state === 'stopped';
  if (wasStopped && entry.committedAt === null) return 'was found stopped, left stopped';
  const also = found.kind === 'service' ? (found.dragged ?? []) : [];
  await world.start(name, service, { also, signal: options.signal });
  return 'started';
}

/** Longer than the kernel needs to end what was killed, unless a disk hangs. */
const goneWithinMs = 30_000;

async function processesGone(entry: EntryState): Promise<void> {
  killProcesses(entry);
  const latest = Date.now() + goneWithinMs;
  const isRunning = () => entry.processes.some(({ pid, startTime }) => startTimeOf(pid) === startTime);
  while (isRunning() && Date.now() < latest) await delay(20);
}

function dataOf(found: Found): Extract<Found, { kind: 'data' }> {
  if (found.kind === 'data') return found;
  throw refuse('NotUnderstood', 'the journal has a change of data without what was found there');
}

/** A server that takes 12 s to stop still looks alive in the 4th: a stop without its end is waited out before the start. */
async function settle(world: World, service: Service, entry: EntryState, { signal }: Options): Promise<void> {
  const latest = Date.parse(entry.intentAt) + service.stopWithinMs;
  while (Date.now() < latest && (await world.stateOf(service)) !== 'stopped')
    await delay(100, undefined, { signal });
}

function known<T>(resolved: T | null): T {
  if (resolved === null)
    throw refuse('UnknownName', 'the journal has a change without the service or the place that it is of');
  return resolved;
}
