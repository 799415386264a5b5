import { ApplicationFailure } from '@temporalio/common';
import { isCancellation, patched, setCurrentDetails, workflowInfo } from '@temporalio/workflow';
import type { SiteInfo } from '../model/activities.ts';
import { judgeChecks, leastDrilled, type Drill } from '../model/drill.ts';
import type { Manifest, Proof, SetRef } from '../model/manifest.ts';
import type { Instant } from '../model/plan.ts';
import type { HostName } from '../model/site.ts';
import { agent } from './agents.ts';
import { chosenSet } from './chosen-set.ts';
import { messageOf } from './failures.ts';
import { whileInUse } from './in-use.ts';
import { setShow } from './inspect.ts';
import { version } from './publish.ts';
import { nowInstant } from './run.ts';
import { siteInfo } from './site-info.ts';

/** Input of workflow `drill`; small enough to type into the Temporal UI. */
export interface DrillInput {
  readonly site: string;
  /** Absent: sets of all procedures. */
  readonly procedure?: string;
  /** Its id, or the beginning of one; absent: the newest complete set. */
  readonly set?: string;
  /** Absent: the first that has it; of no named set: the one that was drilled least recently. */
  readonly store?: string;
}

const shortMs = 60_000;
/** Of all that one host restores. */
const drillMs = 24 * 60 * 60_000;

/** Restores a set where nobody is disturbed, compares it with what was taken at rest, and records the outcome in the set. */
export async function drill(input: DrillInput): Promise<Drill> {
  const { site } = input;
  const at = nowInstant();
  const info = await siteInfo(site);
  const prefer = patched('least-drilled') ? { prefer: leastDrilled } : {};
  const { set, store, warnings } = await chosenSet({ ...input, ...prefer });
  const manifest = await setShow({ site, store, set });
  const hosts = hostsOf(info, store, manifest);
  const { keeper = '', shared = true } = info.stores[store] ?? {};
  const readers = shared ? [keeper] : [keeper, ...hosts];
  const use = { site, store, set, hosts: readers, what: 'drill', atMostMs: 2 * drillMs } as const;
  return whileInUse(use, () => prove({ site, store, set, manifest, keeper, hosts, at, warnings }));
}

interface Proving {
  readonly site: string;
  readonly store: string;
  readonly set: SetRef;
  readonly manifest: Manifest;
  readonly keeper: HostName;
  readonly hosts: readonly HostName[];
  readonly at: Instant;
  readonly warnings: readonly string[];
}

async function prove({ site, store, set, manifest, keeper, hosts, at, warnings }: Proving): Promise<Drill> {
  setCurrentDetails(`drill of ${set.id} from ${store} on ${hosts.join(', ')}`);
  const parts = await Promise.all(
    hosts.map((host) =>
      agent(site, host, { summary: `drill ${set.id}`, withinMs: drillMs, copy: true })
        .drillSet({ site, store, set })
        .catch((error: unknown) => {
          throw isCancellation(error) ? error : refusal(`${host}: ${messageOf(error)}`);
        }),
    ),
  );
  const checks = judgeChecks(parts.flatMap(({ answers }) => answers));
  const problems = [
    ...parts.flatMap((part) => part.problems),
    ...missing(manifest, store, parts),
    ...checks.filter(({ passed }) => !passed).map(({ what, found }) => `check ${what}: ${found}`),
  ];
  const proof: Proof = {
    ...{ at, endedAt: nowInstant(), passed: problems.length === 0, coldbackup: version },
    ...{ workflowId: workflowInfo().workflowId, runId: workflowInfo().runId },
    artifacts: parts.flatMap((part) => part.artifacts),
    ...{ checks, problems },
    notCompared: parts.flatMap((part) => part.notCompared),
  };
  await agent(site, keeper, { summary: `proof of ${set.id}`, withinMs: shortMs }).recordProof({
    ...{ site, store, set, proof },
  });
  const result: Drill = { set, store, proof, ...(warnings.length > 0 && { warnings }) };
  setCurrentDetails(`drill of ${set.id} from ${store}: ${proof.passed ? 'passed' : 'failed'}`);
  if (proof.passed) return result;
  throw ApplicationFailure.create({
    message: `the drill of ${set.id} failed: ${problems.slice(0, 5).join('; ')}`,
    type: 'DrillFailed',
    nonRetryable: true,
    details: [result],
  });
}

function hostsOf(info: SiteInfo, store: string, { artifacts }: Manifest): readonly HostName[] {
  const { drill: place } = info;
  const { keeper = '', shared = true } = info.stores[store] ?? {};
  if (place === undefined)
    throw refusal(`the site file of ${info.site} names no place for drills: add drill: { scratch: PATH }`);
  if (shared) return [place.host ?? keeper];
  const holders = [...new Set(artifacts.map(({ host }) => host))].sort();
  const out = holders.filter((host) => place.host !== null && host !== place.host);
  if (out.length > 0)
    throw refusal(
      `store ${store} is not shared: ${out.join(', ')} hold parts that drill.host ${place.host ?? ''} does not see; leave out drill.host, and each host restores its own`,
    );
  return holders;
}

/** A manifest that names what no host has restored is no proof. */
function missing(
  { artifacts }: Manifest,
  store: string,
  parts: readonly Pick<Proof, 'artifacts'>[],
): readonly string[] {
  const seen = new Set(parts.flatMap((part) => part.artifacts.map(({ artifact }) => artifact)));
  return artifacts
    .filter((artifact) => artifact.store === store && !seen.has(artifact.name))
    .map(({ name, host }) => `${name} of ${host} was not restored by any host`);
}

function refusal(message: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(message, 'DrillRefused');
}
