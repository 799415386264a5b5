import { setTimeout as delay } from 'node:timers/promises';
import type { Change, Found, StopEvidence } from '../../model/ledger.ts';
import type { Service, Site } from '../../model/site.ts';
import type { EntryState } from './records.ts';
import { refuse } from './refusals.ts';
import type { World } from './world.ts';

interface Options {
  readonly signal: AbortSignal;
}

/** `service/<name>` or `balancer/<database>`: what a claim holds, and what a change alters. */
export function resourceOf(change: Change): string {
  return change.kind === 'service-stopped' ? `service/${change.service}` : `balancer/${change.database}`;
}

export function serviceOf(site: Site, change: Change): Service | null {
  if (change.kind !== 'service-stopped') return null;
  const service = site.services[change.service];
  if (service === undefined)
    throw refuse('UnknownName', `this host's site file names no service "${change.service}"`);
  return service;
}

export async function observe(world: World, site: Site, resource: string): Promise<Found> {
  const name = resource.slice(resource.indexOf('/') + 1);
  if (resource.startsWith('balancer/')) return world.balancer.observe(name);
  const service = site.services[name];
  if (service === undefined) throw refuse('UnknownName', `this host's site file names no service "${name}"`);
  return world.observe(service);
}

/** Makes the change. Doing it twice does no harm. */
export async function act(
  world: World,
  change: Change,
  service: Service | null,
  options: Options & { readonly untilMs: number; readonly by: string },
): Promise<StopEvidence | undefined> {
  if (change.kind === 'balancer-stopped') {
    await world.balancer.stop(change.database, options);
    return undefined;
  }
  return world.stop(known(service), { ...options, withinMs: known(service).stopWithinMs });
}

/** Puts back what was found, and says what it did. The only undo there is, whoever calls it. */
export async function undo(world: World, entry: EntryState, options: Options): Promise<string> {
  if (entry.found.kind === 'balancer') {
    const { change } = entry;
    if (change.kind === 'balancer-stopped')
      await world.balancer.restore(change.database, entry.found, options);
    return 'balancer settings as found';
  }
  const service = known(entry.service);
  if (entry.endedAt === null) await settle(world, service, entry, options);
  await world.letGo(service);
  if (entry.found.state === 'stopped') return 'was found stopped, left stopped';
  const name = entry.change.kind === 'service-stopped' ? entry.change.service : '';
  await world.start(name, service, { also: entry.found.dragged ?? [], signal: options.signal });
  return 'started';
}

/** A server that takes 12 s to stop still looks alive in the 4th: a stop without its end is waited out before the start. */
async function settle(world: World, service: Service, entry: EntryState, { signal }: Options): Promise<void> {
  const latest = Date.parse(entry.intentAt) + service.stopWithinMs;
  while (Date.now() < latest && (await world.stateOf(service)) !== 'stopped')
    await delay(100, undefined, { signal });
}

function known(service: Service | null): Service {
  if (service === null) throw refuse('UnknownName', 'the journal has a stop without its service');
  return service;
}
