import { ApplicationFailure } from '@temporalio/common';
import { isCancellation, workflowInfo } from '@temporalio/workflow';
import { predictBringBack, type Prediction } from '../model/bring-back.ts';
import type { HostReport } from '../model/activities.ts';
import { backupsOf, copyingHosts, mayBeLeftOut, type Instant, type Plan } from '../model/plan.ts';
import type { Check } from '../model/progress.ts';
import type { HostName } from '../model/site.ts';
import { agent } from './agents.ts';
import { messageOf } from './ledger.ts';
import { nowInstant, planOf, type Run } from './run.ts';

/** Clocks further apart than this make instants in journals and refusals of late calls unreliable. */
const clockSkewMs = 5_000;
const withinMs = 2 * 60_000;

/** Every host at once; changes nothing. One no-go ends the run before anything is stopped. */
export async function preflight(run: Run): Promise<void> {
  const { checks, bringBack, copyBy } = await checkAll(planOf(run));
  run.checks = checks;
  run.bringBack = bringBack;
  run.copyBy = copyBy;
  run.warnings.push(
    ...run.checks
      .filter(({ verdict }) => verdict === 'warning')
      .map(({ host, subject, detail }) => `${host}: ${subject}: ${detail}`),
  );
  const noGo = run.checks.filter(({ verdict }) => verdict === 'no-go');
  if (noGo.length > 0)
    throw ApplicationFailure.nonRetryable(
      `no-go: ${noGo.map(({ host, subject, detail }) => `${host}: ${subject}: ${detail}`).join('; ')}`,
      'NoGo',
    );
}

/** The go/no-go table of a plan. */
export async function checkAll(plan: Plan): Promise<{
  readonly checks: readonly Check[];
  readonly bringBack: Prediction;
  readonly copyBy: Run['copyBy'];
}> {
  const measured: Record<HostName, Readonly<Record<string, number>>> = {};
  const copyBy: Record<string, Run['copyBy'][string]> = {};
  const hosts = await Promise.all(plan.hosts.map((host) => checkHost(plan, host, { measured, copyBy })));
  const bringBack = predictBringBack(plan, measured);
  const forgiven = hosts.map((checks) => forgive(plan, hosts.flat(), checks));
  const alive = plan.hosts.filter((_, index) => forgiven[index]?.every(({ verdict }) => verdict !== 'no-go'));
  const shared = Object.entries(plan.stores).filter(([, store]) => store.shared);
  const stores = await Promise.all(
    shared.map(([name, { keeper }]) => {
      const needed = new Set([keeper, ...copyingHosts(plan.steps, name)]);
      return checkShared(
        plan.site,
        name,
        keeper,
        alive.filter((host) => needed.has(host)),
      );
    }),
  );
  const found = [...hosts.flat(), ...stores.flat()];
  return { checks: [timeCheck(plan, bringBack), ...forgive(plan, found, found)], bringBack, copyBy };
}

/** A store that may be left out is no reason for no-go, while each step that writes to it has another one. */
function forgive(plan: Plan, all: readonly Check[], checks: readonly Check[]): readonly Check[] {
  const bad = new Set(all.filter(({ verdict }) => verdict === 'no-go').map(({ subject }) => subject));
  const isBad = (store: string): boolean => bad.has(`store ${store}`);
  const hasAnother = (store: string): boolean =>
    backupsOf(plan.steps)
      .filter(({ to }) => to.includes(store))
      .every(({ to }) => to.some((other) => other !== store && !isBad(other)));
  const out = Object.keys(plan.stores).filter(
    (store) => isBad(store) && mayBeLeftOut(plan.steps, store) && hasAnother(store),
  );
  return checks.map((check) =>
    check.verdict === 'no-go' && out.some((store) => check.subject === `store ${store}`)
      ? {
          ...check,
          verdict: 'warning',
          detail: `${check.detail.replace(/\.$/, '')}; the set goes to the other stores alone`,
        }
      : check,
  );
}

async function checkHost(
  plan: Plan,
  host: HostName,
  {
    measured,
    copyBy,
  }: {
    readonly measured: Record<HostName, Readonly<Record<string, number>>>;
    readonly copyBy: Record<string, Run['copyBy'][string]>;
  },
): Promise<readonly Check[]> {
  try {
    const { report, skewMs } = await askHost(plan.site, host, plan);
    measured[host] = report.broughtBackMs ?? {};
    Object.assign(copyBy, report.copyBy);
    return [...hostChecks(report, skewMs, plan.siteDigest), ...report.checks];
  } catch (error) {
    if (isCancellation(error)) throw error;
    return [
      {
        host,
        subject: 'agent',
        verdict: 'no-go',
        detail: messageOf(error),
        hint: `start the agent on ${host}: coldbackup agent`,
      },
    ];
  }
}

/** @returns what the agent says, and how far its clock is from the run's (the time on the way counts for it). */
export async function askHost(
  site: string,
  host: HostName,
  plan: Plan | null,
): Promise<{ report: HostReport; skewMs: number }> {
  const before = Date.now();
  const report = await agent(site, host, { summary: 'preflight', withinMs, attempts: 2 }).preflight({
    host,
    plan,
    workflowId: workflowInfo().workflowId,
  });
  const clock = Date.parse(report.clock);
  return { report, skewMs: clock < before ? before - clock : Math.max(0, clock - Date.now()) };
}

function hostChecks(report: HostReport, skewMs: number, siteDigest: string): readonly Check[] {
  const { host } = report;
  const checks: Check[] = [
    {
      host,
      subject: 'agent',
      verdict: 'go',
      detail: `alive, version ${report.version}, protocol ${report.protocol}`,
    },
  ];
  if (report.siteDigest !== siteDigest)
    checks.push({
      host,
      subject: 'site file',
      verdict: 'no-go',
      detail: `differs from control's (${report.siteDigest.slice(0, 12)}, not ${siteDigest.slice(0, 12)})`,
      hint: 'copy the same site file to every host and restart the agents',
    });
  if (skewMs > clockSkewMs)
    checks.push({
      host,
      subject: 'clock',
      verdict: 'no-go',
      detail: `${Math.round(skewMs / 1000)} s from the run's clock`,
      hint: 'synchronise the clocks (chrony, systemd-timesyncd)',
    });
  return checks;
}

/** One agent writes a token, the others read it. */
async function checkShared(
  site: string,
  store: string,
  keeper: HostName,
  hosts: readonly HostName[],
): Promise<readonly Check[]> {
  if (!hosts.includes(keeper)) return [];
  const token = { site, store, token: workflowInfo().runId };
  const on = (host: HostName) =>
    agent(site, host, { summary: `store ${store}: is it shared?`, withinMs, attempts: 2 });
  const subject = `store ${store}`;
  try {
    await on(keeper).writeStoreToken(token);
    const seen = await Promise.all(
      hosts.map(async (host) => ({ host, sees: await on(host).readStoreToken(token) })),
    );
    await on(keeper).removeStoreToken(token);
    return seen.map(({ host, sees }): Check =>
      sees
        ? { host, subject, verdict: 'go', detail: `shared: sees what ${keeper} writes` }
        : {
            host,
            subject,
            verdict: 'no-go',
            detail: `does not see what ${keeper} writes`,
            hint: 'is the share mounted? or say shared: false',
          },
    );
  } catch (error) {
    if (isCancellation(error)) throw error;
    return [{ host: keeper, subject, verdict: 'no-go', detail: messageOf(error) }];
  }
}

/** The night fits: there is time until bringing back begins, and from then until up-by. */
function timeCheck(plan: Plan, { ms, atLeastMs, measured, services }: Prediction): Check {
  const check = { host: '-', subject: 'window' };
  const now: Instant = nowInstant();
  const last = plan.restartAt ?? plan.upBy;
  if (last <= now)
    return { ...check, verdict: 'no-go', detail: `it is past ${last}`, hint: 'start again with --up-by' };
  const takes = `bringing back takes about ${inWords(ms)} (${measured} of ${services} services measured)`;
  const leftMs = Date.parse(plan.upBy) - Date.parse(plan.restartAt ?? now);
  if (leftMs >= ms) return { ...check, verdict: 'go', detail: `up by ${plan.upBy}; ${takes}` };
  return {
    ...check,
    // A default is no reason to leave out a night.
    verdict: measured > 0 && leftMs < atLeastMs ? 'no-go' : 'warning',
    detail: `${takes}, and there are ${inWords(leftMs)} from ${plan.restartAt ?? 'now'} to up-by ${plan.upBy}`,
    hint: 'move restart.at earlier or up-by later',
  };
}

function inWords(ms: number): string {
  return ms < 120_000 ? `${Math.round(ms / 1000)} s` : `${Math.round(ms / 60_000)} min`;
}
