import type { Report } from '../../model/progress.ts';
import type { Site } from '../../model/site.ts';
import type { DemoCluster } from '../cluster.ts';
import type { Output } from '../output.ts';
import type { Places } from '../places.ts';
import type { Vitam } from '../vitam.ts';
import type { Before } from './before.ts';
import { proveCluster, proveSettings } from './cluster.ts';
import { proveCopies } from './copies.ts';
import { proveFiles } from './files.ts';
import { proveServices } from './services.ts';
import { openSet, proveDigests } from './set.ts';

export interface Facts {
  readonly places: Places;
  readonly site: Site;
  readonly cluster: DemoCluster;
  readonly vitam: Vitam;
  readonly before: Before;
  readonly report: Report;
  readonly coldbackup: readonly string[];
  readonly address: string;
}

/**
 * Looks at everything that the night had to leave behind; nothing is taken from what the run says of itself.
 * @param end ends what is asked nothing any more, the services first, then the servers too: the rest is faster without.
 */
export async function prove(
  out: Output,
  facts: Facts,
  end: (what: 'services' | 'all') => Promise<void>,
): Promise<boolean> {
  const { outcome, reason } = facts.report;
  const results = [
    out.check(`the night is ${outcome}`, outcome === 'complete' ? [] : [reason ?? 'no reason']),
  ];
  const look = async (what: string, problems: Promise<readonly string[]>) => {
    results.push(out.check(what, await problems.catch((error: unknown) => [String(error)])));
  };
  await proveServices(facts, look);
  await end('services');
  await look('the balancer’s settings are what they were, word for word', proveSettings(facts));
  const set = await openSet(facts).catch((error: unknown) => String(error));
  if (typeof set === 'string') {
    await look('there is a set', Promise.resolve([set]));
    await proveCluster(facts, look);
    return false;
  }
  await Promise.all([
    proveDigests(facts, set, look),
    proveFiles(facts, set, look),
    proveCluster(facts, look),
  ]);
  await end('all');
  await proveCopies(facts, set, look);
  return results.every(Boolean);
}

/** Prints one line of the proof, once its problems are known. */
export type Look = (what: string, problems: Promise<readonly string[]>) => Promise<void>;
