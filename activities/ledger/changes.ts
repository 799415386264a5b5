import { setTimeout as delay } from 'node:timers/promises';
import type { Change, Found, StopEvidence } from '../../model/ledger.ts';
import type { HostName, Service, Site } from '../../model/site.ts';
import { copyPlace } from '../copies/place.ts';
import { memberOf } from '../mongodb/engine.ts';
import { killProcesses } from './jobs.ts';
import type { EntryState } from './records.ts';
import { refuse } from './refusals.ts';
import type { World } from './world.ts';

interface Options {
  readonly signal: AbortSignal;
}

/** What a change is resolved to when it is begun: it is undone as that, whatever the site file says by then. */
export type Resolved = Pick<EntryState, 'service' | 'place'>;

/** `service/<name>`, `balancer/<database>`, `snapshot/<database>/<member>`: what a claim holds, and what a change alters. */
export function resourceOf(change: Change): string {
  switch (change.kind) {
    case 'service-stopped':
      return `service/${change.service}`;
    case 'balancer-stopped':
      return `balancer/${change.database}`;
    case 'snapshot-made':
      return `snapshot/${change.database}/${change.member}`;
  }
}

/** @param of the journal and the change: no other has a snapshot of the same name. */
export function resolve(site: Site, host: HostName, change: Change, of: string): Resolved {
  if (change.kind === 'snapshot-made') {
    if (memberOf(site, change.database, change.member).host !== host)
      throw refuse('UnknownName', `${change.member} of ${change.database} is not on ${host}`);
    return { service: null, place: copyPlace(site, change, of) };
  }
  if (change.kind === 'balancer-stopped') return { service: null, place: null };
  const service = site.services[change.service];
  if (service === undefined)
    throw refuse('UnknownName', `this host's site file names no service "${change.service}"`);
  return { service, place: null };
}

export async function observe(world: World, site: Site, resource: string): Promise<Found> {
  const name = resource.slice(resource.indexOf('/') + 1);
  if (resource.startsWith('snapshot/')) return { kind: 'snapshot' };
  if (resource.startsWith('balancer/')) return world.balancer.observe(name);
  const service = site.services[name];
  if (service === undefined) throw refuse('UnknownName', `this host's site file names no service "${name}"`);
  return world.observe(service);
}

/** Makes the change. Doing it twice does no harm. */
export async function act(
  world: World,
  change: Change,
  { service, place }: Resolved,
  options: Options & {
    readonly untilMs: number;
    readonly by: string;
    readonly onProcess: (pid: number) => void;
  },
): Promise<StopEvidence | undefined> {
  switch (change.kind) {
    case 'balancer-stopped':
      await world.balancer.stop(change.database, options);
      return undefined;
    case 'snapshot-made':
      await world.snapshot.make(change, known(place), options);
      return undefined;
    case 'service-stopped':
      return world.stop(known(service), { ...options, withinMs: known(service).stopWithinMs });
  }
}

/** Puts back what was found, and says what it did. The only undo there is, whoever calls it. */
export async function undo(world: World, entry: EntryState, options: Options): Promise<string> {
  const { change, found } = entry;
  if (found.kind === 'balancer') {
    if (change.kind === 'balancer-stopped') await world.balancer.restore(change.database, found, options);
    return 'balancer settings as found';
  }
  if (found.kind === 'snapshot') {
    // What still writes there, of an agent that died, would make it anew.
    if (entry.endedAt === null) killProcesses(entry);
    await world.snapshot.remove(known(entry.place));
    return 'removed';
  }
  const service = known(entry.service);
  if (entry.endedAt === null) await settle(world, service, entry, options);
  await world.letGo(service);
  if (found.state === 'stopped') return 'was found stopped, left stopped';
  const name = change.kind === 'service-stopped' ? change.service : '';
  await world.start(name, service, { also: found.dragged ?? [], signal: options.signal });
  return 'started';
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
