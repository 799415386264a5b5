import type { RestoreRequest } from '../../model/activities.ts';
import type { Plan, PlanRestored, RestoreTarget } from '../../model/plan.ts';
import type { Site } from '../../model/site.ts';
import { quoteWithNearest } from '../nearest.ts';
import { PlanError } from '../plan.ts';

export type Manifest = RestoreRequest['manifest'];

export interface Part {
  readonly targets: readonly RestoreTarget[];
  readonly restored: PlanRestored;
}

export function artifactOf(
  { manifest, store }: RestoreRequest,
  isMeant: (artifact: Manifest['artifacts'][number]) => boolean,
  database: string,
): Pick<RestoreTarget, 'artifact' | 'contentBytes'> {
  const found = manifest.artifacts.find((artifact) => artifact.store === store && isMeant(artifact));
  if (found !== undefined) return { artifact: found.name, contentBytes: found.contentBytes };
  throw new PlanError(`set ${manifest.set.id} in ${store} has no artifact of ${database}`);
}

export function storeOf(site: Site, name: string): Plan['stores'][string] {
  const store = Object.hasOwn(site.stores, name) ? site.stores[name] : undefined;
  if (store !== undefined) return { keeper: store.keeper, shared: store.shared };
  throw new PlanError(`unknown store ${quoteWithNearest(name, Object.keys(site.stores))}`);
}
