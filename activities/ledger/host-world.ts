import { posix } from 'node:path';
import type { Site } from '../../model/site.ts';
import { observeBalancer, restoreBalancer, stopBalancer } from '../mongodb/balancer.ts';
import { checkGuard } from '../mongodb/guard.ts';
import { waitUntilMemberReady, waitUntilRouterReady } from '../mongodb/readiness.ts';
import { removeCopy } from '../copies/remove.ts';
import { snapshotData } from '../copies/snapshot.ts';
import { dataRoots } from '../restore/place.ts';
import { removeLookFolder } from '../restore/look.ts';
import { removeStaging } from '../restore/staging.ts';
import { existing, moveAside, moveBack, observeData } from '../restore/swap.ts';
import { unpackBeside } from '../restore/unpack.ts';
import { createDriver } from '../services/drivers.ts';
import { isDown } from '../services/driver.ts';
import { waitUntilReady, whileUp } from '../services/readiness.ts';
import type { HostName } from '../../model/site.ts';
import { refuse } from './refusals.ts';
import type { World } from './world.ts';

/** For mongos to say that the balancer is as it was. */
const balancerMs = 2 * 60_000;

/** The real services and the real balancer of this host. */
export function createHostWorld(site: Site, host: HostName): World {
  return {
    async observe(service) {
      const { state, since, instance, detail, dragged } = await createDriver(service).observe();
      if (state === 'unknown' || state === 'stopping')
        throw refuse('NotUnderstood', `a service of ${host} is in no state to be held: ${state}: ${detail}`);
      return {
        kind: 'service',
        state: isDown({ state }) ? 'stopped' : 'running',
        ...(since !== null && { since }),
        ...(instance !== null && { instance }),
        dragged,
      };
    },
    async stop(service, { withinMs, signal, by }) {
      const driver = createDriver(service);
      await driver.holdDown(by);
      return driver.stop({ withinMs, signal });
    },
    async stateOf(service) {
      const { state } = await createDriver(service).observe();
      if (isDown({ state })) return 'stopped';
      return state === 'running' ? 'running' : 'between';
    },
    letGo: (service) => createDriver(service).letGo(),
    async start(name, service, { also, signal }) {
      const driver = createDriver(service);
      await driver.start({ also, signal, withinMs: service.readyWithinMs });
      await waitUntilReady(service, driver, { withinMs: service.readyWithinMs, signal });
      for (const { database, member } of membersOf(site, host, name))
        await whileUp(driver, signal, (up) =>
          waitUntilMemberReady(site, database, member, { withinMs: service.readyWithinMs, signal: up }),
        );
      for (const database of routedBy(site, host, name))
        await whileUp(driver, signal, (up) =>
          waitUntilRouterReady(site, database, { withinMs: service.readyWithinMs, signal: up }),
        );
    },
    instanceOf: async (service) => (await createDriver(service).observe()).instance,
    guard: (guard, options) => checkGuard(site, guard, options),
    balancer: {
      observe: (database) => observeBalancer(site, database),
      stop: (database, options) => stopBalancer(site, database, options),
      restore: (database, found, { signal }) =>
        restoreBalancer(site, database, found, { untilMs: Date.now() + balancerMs, signal }),
    },
    snapshot: {
      make: (change, place, hooks) => snapshotData(site, change, place, hooks),
      remove: removeCopy,
    },
    restore: {
      observe: (resource) => {
        const roots = dataRoots(site, host, resource);
        // The folder that is made for it is known by not being there now.
        return observeData(resource.kind === 'data' ? roots : [...roots, posix.dirname(resource.path)]);
      },
      unpack: (change, place, hooks) => unpackBeside(site, host, change, place, hooks),
      remove: async (place, found) => {
        await removeStaging(place);
        const above = posix.dirname(place.staging);
        if (found.kind === 'data' && found.inodes[above] === null) await removeLookFolder(above);
      },
      moveAside: ({ set, artifact }, place, found) => moveAside(place, found, { set, artifact }),
      moveBack,
      aside: existing,
    },
  };
}

/** The router that is asked here is ready when it routes. */
function routedBy(site: Site, host: HostName, service: string): readonly string[] {
  return Object.entries(site.databases).flatMap(([database, { engine }]) =>
    engine.kind === 'mongodb' && engine.mongos?.host === host && engine.routers?.includes(service) === true
      ? [database]
      : [],
  );
}

/** A service that is a database's member is ready when the database says so. */
function membersOf(
  site: Site,
  host: HostName,
  service: string,
): readonly { database: string; member: string }[] {
  return Object.entries(site.databases).flatMap(([database, { engine }]) =>
    engine.kind !== 'mongodb'
      ? []
      : Object.entries(engine.members)
          .filter(([, member]) => member.host === host && member.service === service)
          .map(([member]) => ({ database, member })),
  );
}
