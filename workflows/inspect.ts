import { isCancellation } from '@temporalio/workflow';
import type { ExplainedSets, LedgerView, StoreInfo } from '../model/activities.ts';
import { inStore, type Manifest, type Proof, type SetRef, type Verification } from '../model/manifest.ts';
import type { Plan } from '../model/plan.ts';
import type { Check } from '../model/progress.ts';
import { agent, control } from './agents.ts';
import { listAll, type Listing } from './chosen-set.ts';
import type { Drill } from '../model/drill.ts';
import { whileInUse } from './in-use.ts';
import { messageOf } from './ledger.ts';
import type { ProcedureInput } from './messages.ts';
import { askHost, checkAll } from './preflight.ts';
import { planRestore, type RestoreInput } from './restore-plan.ts';
import { nowInstant } from './run.ts';
import { siteInfo, storeNamed } from './site-info.ts';

/**
 * What needs control or agents, as small workflows. All but `prune`, `setRemove` and `setPin` are questions: they change
 * nothing (but for a store's token).
 */

const shortMs = 60_000;
/** Reading a set again, byte by byte. */
const verifyMs = 24 * 60 * 60_000;

export interface PlanAnswer {
  readonly plan: Plan;
  readonly checks: readonly Check[];
}

/** `coldbackup plan`: the resolved plan and its go/no-go table. */
export async function plan(input: ProcedureInput): Promise<PlanAnswer> {
  const { site, procedure, upBy } = input;
  const resolved = await control('resolve the plan').resolvePlan({
    ...{ site, procedure, startedAt: nowInstant(), preview: true },
    ...(upBy !== undefined && { upBy }),
  });
  const { checks } = await checkAll(resolved.plan);
  return { plan: resolved.plan, checks };
}

/** `coldbackup restore --plan`: what would be replaced, and whether it may. */
export async function restorePlan(input: Omit<RestoreInput, 'by' | 'why'>): Promise<PlanAnswer> {
  const { plan: resolved } = await planRestore(input, nowInstant());
  const { checks } = await checkAll(resolved);
  return { plan: resolved, checks };
}

export interface HostAnswer {
  readonly host: string;
  readonly alive: boolean;
  readonly version: string | null;
  readonly digest: 'same' | 'differs' | null;
  /** Milliseconds that the clock is known to be off; below the time of an answer it reads 0. */
  readonly clockOffMs: number | null;
  readonly error: string | null;
}

/** `coldbackup hosts`: who is there. */
export async function hosts({ site }: { site: string }): Promise<readonly HostAnswer[]> {
  const info = await siteInfo(site);
  return Promise.all(
    info.hosts.map(async (host): Promise<HostAnswer> => {
      try {
        const { report, skewMs } = await askHost(site, host, null);
        const digest = report.siteDigest === info.digest ? 'same' : 'differs';
        return { host, alive: true, version: report.version, digest, clockOffMs: skewMs, error: null };
      } catch (error) {
        return { host, alive: false, version: null, digest: null, clockOffMs: null, error: messageOf(error) };
      }
    }),
  );
}

export interface LedgerAnswer {
  readonly host: string;
  /** Of the site. */
  readonly timezone: string;
  readonly view: LedgerView | null;
  readonly error: string | null;
}

/** `coldbackup ledger`: what is down on each host, and for whom, from the journals. */
export async function ledger({ site }: { site: string }): Promise<readonly LedgerAnswer[]> {
  const info = await siteInfo(site);
  const { timezone } = info;
  return Promise.all(
    info.hosts.map(async (host): Promise<LedgerAnswer> => {
      try {
        const view = await agent(site, host, { summary: 'read the journal', withinMs: shortMs }).readLedger({
          site,
          host,
        });
        return { host, timezone, view, error: null };
      } catch (error) {
        return { host, timezone, view: null, error: messageOf(error) };
      }
    }),
  );
}

/** `coldbackup sets`: what the stores hold that answer. */
export async function sets({
  site,
  ...which
}: {
  site: string;
  procedure?: string;
  store?: string;
}): Promise<Listing> {
  return listAll(await siteInfo(site), which);
}

/** `coldbackup sets show`. */
export async function setShow(input: { site: string; store: string; set: SetRef }): Promise<Manifest> {
  const keeper = await keeperOf(input.site, input.store);
  return agent(input.site, keeper, { summary: `show ${input.set.id}`, withinMs: shortMs }).showSet(input);
}

/** The drills of a set, the newest first. */
export async function setProofs(input: {
  site: string;
  store: string;
  set: SetRef;
}): Promise<readonly Proof[]> {
  const keeper = await keeperOf(input.site, input.store);
  return agent(input.site, keeper, { summary: `proofs of ${input.set.id}`, withinMs: shortMs }).readProofs(
    input,
  );
}

/** `coldbackup drill --history`: the drills of all sets in the stores that answer, the newest first. */
export async function drills({ site }: { site: string }): Promise<readonly Drill[]> {
  const { sets: all } = await sets({ site });
  const drilled = await Promise.all(
    all
      .filter(({ proof }) => proof !== undefined)
      .map(async ({ set, store }) =>
        (await setProofs({ site, store, set })).map((proof): Drill => ({ set, store, proof })),
      ),
  );
  return drilled.flat().sort((one, other) => other.proof.at.localeCompare(one.proof.at));
}

/**
 * `coldbackup sets verify`: every host reads again what it can see of the set; what they found is recorded in it. With
 * `mend` what is damaged is replaced first by the copies of other stores, where they are good; the manifest before all.
 */
export async function setVerify(input: VerifyOne): Promise<readonly Verification[]> {
  const { site, store, set } = input;
  const of = storeNamed(await siteInfo(site), store);
  const { keeper } = of;
  const manifest = await manifestOrWhy(input);
  const use = {
    ...({ site, store, set, what: 'verify' } as const),
    hosts: [keeper, ...(typeof manifest === 'string' ? [] : readersOf(of, manifest))],
    atMostMs: 2 * verifyMs,
  };
  const parts = await whileInUse(use, () => readAgain(input, of, manifest));
  await agent(site, keeper, { summary: `record of ${set.id}`, withinMs: shortMs }).recordVerification({
    ...{ site, store, set },
    record: {
      at: nowInstant(),
      checkedBytes: parts.reduce((sum, { checkedBytes }) => sum + checkedBytes, 0),
      problems: parts.flatMap(({ problems }) => problems),
      mended: parts.flatMap(({ mended = [] }) => mended),
    },
  });
  return parts;
}

export interface VerifyOne {
  readonly site: string;
  readonly store: string;
  readonly set: SetRef;
  readonly mend?: boolean;
}

async function readAgain(
  input: VerifyOne,
  of: Pick<StoreInfo, 'keeper' | 'shared'>,
  found: Manifest | string,
): Promise<readonly Verification[]> {
  const { site, store, set, mend = false } = input;
  let manifest = found;
  let before: readonly string[] = [];
  if (typeof manifest === 'string') {
    const problems = [`manifest.json: cannot be read: ${manifest}`];
    if (mend) {
      const from = await elsewhere(site, store, set);
      const [first] = from;
      if (first !== undefined) {
        const given = inStore(first.manifest, first.store, store);
        // A keeper may have no artifact of its own, and has the manifest that counts.
        const hosts = [...new Set([of.keeper, ...readersOf(of, given)])];
        const mended = await mendOn(input, hosts, given, from);
        before = mended.flatMap((one) => one.did);
        problems.push(...mended.flatMap(({ failed }) => failed));
      }
      manifest = await manifestOrWhy(input);
      problems.push(`no other store that answers has one that fits what ${store} holds of the set`);
    }
    if (typeof manifest === 'string')
      return [{ set, store, checkedBytes: 0, artifacts: 0, elsewhere: [], problems }];
  }
  let parts = await readBy(input, of, manifest);
  if (mend && parts.some(({ problems }) => problems.length > 0)) {
    const mended = await mendOn(input, readersOf(of, manifest), manifest, await elsewhere(site, store, set));
    if (mended.some(({ did }) => did.length > 0)) {
      if (mended.some(({ did }) => did.some((one) => one.startsWith('manifest.json '))))
        manifest = await setShow({ site, store, set });
      parts = (await readBy(input, of, manifest)).map((part, index) => ({
        ...part,
        mended: mended[index]?.did ?? [],
      }));
    }
    parts = parts.map((part, index) =>
      part.problems.length === 0
        ? part
        : { ...part, problems: [...part.problems, ...(mended[index]?.failed ?? [])] },
    );
  }
  return parts.map((part, index) =>
    index > 0 || before.length === 0 ? part : { ...part, mended: [...before, ...(part.mended ?? [])] },
  );
}

/** Why it cannot be read, where a set is there all the same. */
async function manifestOrWhy({ site, store, set }: VerifyOne): Promise<Manifest | string> {
  try {
    return await setShow({ site, store, set });
  } catch (error) {
    if (isCancellation(error)) throw error;
    const { sets: there } = await sets({ site, procedure: set.procedure, store });
    const why = there.find((one) => one.set.id === set.id)?.unreadable;
    if (why === undefined) throw error;
    return why;
  }
}

/** Of a store that is not shared, each host that has a part. */
function readersOf({ keeper, shared }: Pick<StoreInfo, 'keeper' | 'shared'>, { artifacts }: Manifest) {
  return shared ? [keeper] : [...new Set(artifacts.map(({ host }) => host))];
}

function readBy(
  { site, store, set }: VerifyOne,
  of: Pick<StoreInfo, 'keeper' | 'shared'>,
  manifest: Manifest,
): Promise<readonly Verification[]> {
  return Promise.all(
    readersOf(of, manifest).map((host) =>
      agent(site, host, { summary: `verify ${set.id}`, withinMs: verifyMs }).verifySet({
        ...{ site, store, set, manifest },
      }),
    ),
  );
}

interface MendedOn {
  readonly did: readonly string[];
  readonly failed: readonly string[];
}

/** One host that fails leaves the others whole. */
function mendOn(
  { site, store, set }: VerifyOne,
  hosts: readonly string[],
  manifest: Manifest,
  from: readonly { readonly store: string; readonly manifest: Manifest }[],
): Promise<readonly MendedOn[]> {
  return Promise.all(
    hosts.map(async (host) => {
      try {
        const on = agent(site, host, { summary: `mend ${set.id}`, withinMs: verifyMs });
        return { did: await on.mendSet({ site, store, manifest, from }), failed: [] };
      } catch (error) {
        if (isCancellation(error)) throw error;
        return { did: [], failed: [`could not be mended on ${host}: ${messageOf(error)}`] };
      }
    }),
  );
}

/** The same set in the other stores that answer. */
async function elsewhere(
  site: string,
  store: string,
  set: SetRef,
): Promise<readonly { readonly store: string; readonly manifest: Manifest }[]> {
  const { sets: all } = await sets({ site, procedure: set.procedure });
  const others = all.filter((one) => one.set.id === set.id && one.store !== store && one.publishedAt !== '');
  const found = await Promise.all(
    others.map(async (one) => {
      try {
        const manifest = await setShow({ site, store: one.store, set });
        return [{ store: one.store, manifest }];
      } catch (error) {
        if (isCancellation(error)) throw error;
        return [];
      }
    }),
  );
  return found.flat();
}

export interface PruneAnswer {
  readonly store: string;
  readonly explained: readonly ExplainedSets[];
  /** On every host that holds a part. Empty where it was only asked what would go. */
  readonly removed: readonly SetRef[];
  /** What could not be removed, and where. */
  readonly problems: readonly string[];
}

/**
 * `coldbackup prune`: applies the retention of the site file now, as each night does after it published its set. A store
 * that is away is a problem, and in the way of no other one. Fails when none answers.
 */
export async function prune(input: {
  site: string;
  procedure?: string;
  store?: string;
  dryRun: boolean;
}): Promise<readonly PruneAnswer[]> {
  const info = await siteInfo(input.site);
  const stores = input.store === undefined ? Object.keys(info.stores) : [input.store];
  const failures: unknown[] = [];
  const answers = await Promise.all(
    stores.map((store) =>
      pruneStore({ ...input, store }, storeNamed(info, store)).catch((error: unknown): PruneAnswer => {
        if (isCancellation(error)) throw error;
        failures.push(error);
        return { store, explained: [], removed: [], problems: [`${store}: ${messageOf(error)}`] };
      }),
    ),
  );
  if (failures.length > 0 && failures.length === stores.length) throw failures[0];
  return answers;
}

async function pruneStore(
  input: { site: string; procedure?: string; store: string; dryRun: boolean },
  { keeper, others }: StoreInfo,
): Promise<PruneAnswer> {
  const { site, procedure, store, dryRun } = input;
  const on = (host: string) => agent(site, host, { summary: `retention in ${store}`, withinMs: shortMs });
  const now = nowInstant();
  const explained = await on(keeper).explainSets({
    ...{ site, store, now },
    ...(procedure !== undefined && { procedure }),
  });
  if (dryRun) return { store, explained, removed: [], problems: [] };
  const problems: string[] = [];
  const removed = await Promise.all(
    explained.map(async ({ procedure: name, keep, verdicts }) => {
      const has = verdicts.filter(({ stays }) => stays).map(({ set }) => set.set);
      const what = { plan: { site, procedure: name, keep }, store, now };
      const gone = await on(keeper)
        .pruneSets(what)
        .catch((error: unknown) => {
          problems.push(`${keeper}: ${messageOf(error)}`);
          return null;
        });
      if (gone === null) return [];
      await Promise.all(
        others.map((host) =>
          on(host)
            .pruneSets({ ...what, removed: gone, has })
            .catch((error: unknown) => problems.push(`${host}: ${messageOf(error)}`)),
        ),
      );
      return gone;
    }),
  );
  return { store, explained, removed: removed.flat(), problems };
}

export interface RemoveAnswer {
  /** Why it stays, and what to do; empty: it does not. */
  readonly refused: readonly string[];
  /** Where a part of it could not be removed. */
  readonly problems: readonly string[];
}

/** `coldbackup sets remove`. Where each host has its own disk, the keeper's part goes first: then it is no set. */
export async function setRemove(input: {
  site: string;
  store: string;
  set: SetRef;
  dryRun: boolean;
  /** Kept in the history. */
  by: string;
  why: string;
}): Promise<RemoveAnswer> {
  const { site, store, set, dryRun, by, why } = input;
  const { keeper, others } = storeNamed(await siteInfo(site), store);
  const on = (host: string) =>
    agent(site, host, { summary: `remove ${set.id}: ${why} (${by})`, withinMs: shortMs });
  const now = nowInstant();
  const refused = await on(keeper).removeSet({ site, store, set, now, dryRun });
  if (dryRun || refused.length > 0) return { refused, problems: [] };
  const plan = { site, procedure: set.procedure, keep: null };
  const failed = await Promise.all(
    others.map((host) =>
      on(host)
        .pruneSets({ plan, store, now, removed: [set] })
        .then(
          () => [],
          (error: unknown) => [`${host}: ${messageOf(error)}`],
        ),
    ),
  );
  return { refused, problems: failed.flat() };
}

/** `coldbackup sets pin` and `unpin`. */
export async function setPin(input: {
  site: string;
  store: string;
  set: SetRef;
  pin: { by: string; why: string } | null;
}): Promise<null> {
  const { site, store, set, pin } = input;
  const keeper = await keeperOf(site, store);
  await agent(site, keeper, { summary: `pin ${set.id}`, withinMs: shortMs }).pinSet({
    ...{ site, store, set },
    pin: pin === null ? null : { ...pin, at: nowInstant() },
  });
  return null;
}

async function keeperOf(site: string, store: string): Promise<string> {
  return storeNamed(await siteInfo(site), store).keeper;
}
