import type { Output } from '../output.ts';
import { proveCluster, proveSettings } from './cluster.ts';
import { proveCopies } from './copies.ts';
import type { Facts } from './facts.ts';
import { proveFiles } from './files.ts';
import { beginProof } from './look.ts';
import { held, proveServices } from './services.ts';
import { openSet, proveDigests } from './set.ts';

/**
 * Looks at everything that the night had to leave behind; nothing is taken from what the run says of itself.
 * @param endServices ends them once they are proven: the rest is faster without.
 */
export async function prove(out: Output, facts: Facts, endServices: () => Promise<void>): Promise<boolean> {
  const { look, holds } = beginProof(out, 'night', facts.report);
  await proveServices(facts, look);
  await endServices();
  await Promise.all([
    look('no host is held by a run any more', held(facts)),
    look('the balancer’s settings are what they were, word for word', proveSettings(facts)).then(() =>
      proveCluster(facts, look),
    ),
    openSet(facts).then(
      (set) =>
        Promise.all([
          proveDigests(facts, set, look),
          proveFiles(facts, set, look),
          proveCopies(facts, set, look),
        ]),
      (error: unknown) => look('there is a set', Promise.resolve([String(error)])),
    ),
  ]);
  return holds();
}
