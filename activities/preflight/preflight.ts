import type { HostReport, PreflightActivities, PreflightInput } from '../../model/activities.ts';
import { backupsOf, copyingHosts, replacedBy, restoredBy, type Plan } from '../../model/plan.ts';
import type { Check } from '../../model/progress.ts';
import type { HostName, Site } from '../../model/site.ts';
import { copyKey, servicesAmong } from '../../model/resource.ts';
import { chooseCopy, type Choice } from '../copies/choose.ts';
import { checkFingerprint } from '../copies/fingerprint.ts';
import { checkDrills } from '../drill/checks.ts';
import type { Journal } from '../ledger/journal.ts';
import { PROTOCOL } from '../ledger/ledger.ts';
import { openEntries } from '../ledger/records.ts';
import { checkMongodb } from '../mongodb/checks.ts';
import { checkRejoin } from '../mongodb/rejoin.ts';
import { createDriver } from '../services/drivers.ts';
import { checkRestore } from '../restore/checks.ts';
import { checkCluster } from '../restore/cluster-checks.ts';
import { checkStore } from '../stores/checks.ts';
import { runCommand } from '../system/command.ts';
import { createRooms, type Rooms } from '../system/rooms.ts';
import { createObserveActivity } from './observe.ts';
import { checkService } from './services.ts';
import { checkSource, sourcesOn, type Source } from './sources.ts';

export interface PreflightDeps {
  readonly site: Site;
  readonly siteDigest: string;
  readonly host: HostName;
  readonly journal: Journal;
  readonly version: string;
  /** Of the attempt that runs. */
  readonly signal: () => AbortSignal;
}

/** Members of a set that is written to are never all at the same point; for one to reach what it was asked for. */
const rejoinMs = 15_000;
/** What copies, and what verifies, starts these. */
const tools = ['tar', 'zstd', 'flock', 'find'];
/** The minor version; of 1.x nothing is known yet. */
const oldestRestic = 14;

/** Changes nothing; its outcome is a table. */
export function createPreflightActivities(
  deps: PreflightDeps,
): Pick<PreflightActivities, 'preflight' | 'observeHost'> {
  const { site, siteDigest, host, version } = deps;
  return {
    ...createObserveActivity(deps),
    async preflight(input) {
      const table = input.plan === null ? { checks: [] } : await checkPlan(deps, site, input, input.plan);
      return {
        host,
        version,
        protocol: PROTOCOL,
        siteDigest,
        clock: new Date().toISOString(),
        pid: process.pid,
        broughtBackMs: deps.journal.broughtBackMs(),
        ...table,
      };
    },
  };
}

async function checkPlan(
  deps: PreflightDeps,
  site: Site,
  input: PreflightInput,
  plan: Plan,
): Promise<Pick<HostReport, 'checks' | 'copyBy'>> {
  const { host } = deps;
  const copyBy: Record<string, Choice['way']> = {};
  const services = servicesAmong(plan.holds[host] ?? []);
  const stoppedMs = deps.journal.stoppedMs();
  const databases = backupsOf(plan.steps).flatMap((step) => step.databases);
  const stores = Object.entries(plan.stores)
    .filter(([name, { keeper }]) => keeper === host || copyingHosts(plan.steps, name).includes(host))
    .map(([name]) => name);
  const groups = await Promise.all([
    Promise.resolve([journalCheck(deps, input)]),
    ...toolsFor(site, stores).map((tool) => toolCheck(host, tool)),
    ...services.map((service) =>
      guarded(host, `service ${service}`, () =>
        checkService(site, host, service, {
          startsOnceKept: startsOnceKept(plan, service),
          stoppedMs: stoppedMs[service],
        }),
      ),
    ),
    ...databases
      .filter(({ engine }) => engine === 'mongodb')
      .map(({ database }) =>
        guarded(host, `database ${database}`, () =>
          checkMongodb(site, database, host, {
            absenceMs: Date.parse(plan.upBy) - Date.now(),
            stopTimeoutMs: (service) => stopTimeoutOf(site, service),
          }),
        ),
      ),
    checkCopies(deps, plan, stores, copyBy),
    ...restoredBy(plan.steps).map((step) =>
      guarded(host, 'restore', () => checkRestore(site, host, step, deps.signal())),
    ),
    ...replacedBy(plan.steps)
      .flatMap((step) => step.databases)
      .map((restored) =>
        guarded(host, `restore ${restored.database}`, () =>
          checkCluster(site, host, restored, deps.signal()),
        ),
      ),
    ...replacedBy(plan.steps)
      .flatMap((step) => step.databases)
      .map(({ database, rejoins }) =>
        guarded(host, `restore ${database}`, () =>
          rejoins === undefined
            ? Promise.resolve([])
            : checkRejoin(site, host, database, rejoins, {
                ...{ untilMs: Date.now() + rejoinMs, signal: deps.signal() },
              }),
        ),
      ),
  ]);
  return { checks: groups.flat(), copyBy };
}

function startsOnceKept(plan: Plan, service: string): boolean {
  return replacedBy(plan.steps)
    .flatMap(({ databases }) => databases)
    .some(({ rejoins, members }) => rejoins !== undefined && members.some((one) => one.service === service));
}

/**
 * The trees first: what they hold must fit, all that one file system will get together. A plain copy that was asked for
 * comes before the stores; one that is only the best there is takes what they leave.
 */
async function checkCopies(
  deps: PreflightDeps,
  plan: Plan,
  stores: readonly string[],
  copyBy: Record<string, Choice['way']>,
): Promise<readonly Check[]> {
  const { site, host, signal } = deps;
  const sources = sourcesOn(site, plan, host);
  const seen = await Promise.all(
    sources.map(async (source) => ({ source, ...(await checkSource(host, source, { signal: signal() })) })),
  );
  const rooms = createRooms();
  const checkWays = (auto: boolean) =>
    inTurn(
      seen.filter(({ source }) => (source.copied?.asked === 'auto') === auto),
      ({ source, totalBytes }) => checkWay(deps, source, { dataBytes: totalBytes, rooms }, copyBy),
    );
  const asked = await checkWays(false);
  const written = await checkStores(deps, plan, stores, seen, rooms);
  const ways = [...asked, ...(await checkWays(true))];
  const drills =
    restoredBy(plan.steps).length > 0
      ? []
      : await checkDrills(site, host, plan, {
          data: (store) =>
            seen.flatMap(({ source, totalBytes }) =>
              source.stores.includes(store) && totalBytes !== null
                ? [{ name: source.subject, contentBytes: totalBytes }]
                : [],
            ),
          signal: signal(),
        });
  return [...seen.map(({ check }) => check), ...ways, ...written, ...drills];
}

/** Folders one after the other, as they may share a disk; a server that does not answer holds up no other. */
async function checkStores(
  { site, host }: PreflightDeps,
  plan: Plan,
  stores: readonly string[],
  seen: readonly { readonly source: Source; readonly totalBytes: number | null }[],
  rooms: Rooms,
): Promise<readonly Check[]> {
  // What a restore reads needs neither room nor proofs.
  const names = restoredBy(plan.steps).length > 0 ? [] : stores;
  const isFolder = (store: string) => site.stores[store]?.kind === 'directory';
  const check = (store: string) => {
    const sizes = seen
      .filter(({ source }) => source.stores.includes(store))
      .map(({ totalBytes }) => totalBytes);
    const copyBytes = sizes.reduce((sum, size) => (sum === null || size === null ? null : sum + size), 0);
    return guarded(host, `store ${store}`, () => checkStore(site, store, host, plan, copyBytes, rooms));
  };
  const checks = await Promise.all([
    inTurn(names.filter(isFolder), check),
    ...names.filter((store) => !isFolder(store)).map(check),
  ]);
  return checks.flat();
}

/** The first has the room. */
async function inTurn<T>(
  of: readonly T[],
  check: (one: T) => Promise<readonly Check[]>,
): Promise<readonly Check[]> {
  const checks: Check[] = [];
  for (const one of of) checks.push(...(await check(one)));
  return checks;
}

/** What is found possible holds for the whole run: it is noted for it. */
function checkWay(
  { site, host, journal, signal }: PreflightDeps,
  { subject, copied, oneOf }: Source,
  room: { readonly dataBytes: number | null; readonly rooms: Rooms },
  copyBy: Record<string, Choice['way']>,
): Promise<readonly Check[]> {
  if (copied === undefined) return Promise.resolve([]);
  return guarded(host, `${subject} copy-by`, async () => {
    const known = openEntries(journal.state()).flatMap(({ place }) => place?.path ?? []);
    const { way, checks } = await chooseCopy(site, host, copied, {
      ...{ ...room, known, signal: signal() },
      ...(oneOf !== undefined && { oneOf }),
    });
    copyBy[copyKey(copied)] = way;
    const read = way === 'stream' ? [] : await checkFingerprint(site, host, copied, signal());
    return [...checks, ...read];
  });
}

async function stopTimeoutOf(site: Site, name: string): Promise<number | null> {
  const service = site.services[name];
  return service === undefined ? null : createDriver(service).stopTimeoutMs();
}

/** A host that another run holds is a no-go; one that this workflow held before is adopted at the claim. */
function journalCheck({ journal, host }: PreflightDeps, { workflowId }: PreflightInput): Check {
  const { claim } = journal.state();
  const subject = 'journal';
  if (claim === null) return { host, subject, verdict: 'go', detail: 'empty' };
  if (claim.workflowId === workflowId)
    return {
      host,
      subject,
      verdict: 'warning',
      detail: `held by an earlier run of ${workflowId}: its holds will be adopted`,
    };
  const open = openEntries(journal.state()).length;
  return {
    host,
    subject,
    verdict: 'no-go',
    detail: `held by ${claim.procedure} of ${claim.night} (workflow ${claim.workflowId}), ${open} changes not undone`,
    hint: `if that run is gone: coldbackup recover --host ${host}`,
  };
}

function toolsFor(site: Site, stores: readonly string[]): readonly string[] {
  if (stores.length === 0) return [];
  const specs = stores.flatMap((store) => site.stores[store] ?? []);
  return [
    ...tools,
    ...(specs.some(({ encrypt }) => encrypt !== undefined) ? ['age'] : []),
    ...(specs.some(({ kind }) => kind === 'restic') ? ['restic'] : []),
  ];
}

async function toolCheck(host: HostName, tool: string): Promise<readonly Check[]> {
  const subject = `tool ${tool}`;
  return guarded(host, subject, async () => {
    const version = tool === 'restic' ? 'version' : '--version';
    const { stdout } = await runCommand([tool, version], { timeoutMs: 10_000 });
    const detail = stdout.split('\n')[0] ?? '';
    const [, minor] = /^restic 0\.(\d+)/.exec(detail) ?? [];
    if (minor !== undefined && Number(minor) < oldestRestic)
      return [
        { host, subject, verdict: 'no-go', detail, hint: `restic 0.${oldestRestic} or later is needed` },
      ];
    return [{ host, subject, verdict: 'go', detail }];
  });
}

/** A check that fails says so in its row: the others are still of use. */
async function guarded(
  host: HostName,
  subject: string,
  check: () => Promise<readonly Check[]>,
): Promise<readonly Check[]> {
  try {
    return await check();
  } catch (error) {
    return [{ host, subject, verdict: 'no-go', detail: error instanceof Error ? error.message : 'unknown' }];
  }
}
