import { ApplicationFailure } from '@temporalio/common';
import { CancellationScope, isCancellation } from '@temporalio/workflow';
import type { PlanCluster, PlanRejoin, PlanReplace, PlanRestored } from '../../model/plan.ts';
import type { RestoreReport } from '../../model/progress.ts';
import { differentShards } from '../../model/shards.ts';
import type { HostName } from '../../model/site.ts';
import { agent } from '../agents.ts';
import { attest } from '../copy.ts';
import { messageOf } from '../failures.ts';
import { closeScope, makeChange, refOf } from '../ledger.ts';
import { planOf, showNow, type Run, type StepResult } from '../run.ts';
import { together } from '../together.ts';
import { placeOf } from './unpack.ts';

const shortMs = 60_000;
/** A fingerprint reads everything. */
const compareMs = 60 * 60_000;
/** What has begun to be kept on one host is kept on all: so an agent that was just killed is waited for. */
const commitMs = 10 * 60_000;

/**
 * Stops the servers, moves the data aside, puts what was unpacked in its place; keeps it on every host; starts the
 * servers on it, and compares. Before all is kept, whatever fails brings the old data back.
 */
export async function replace(run: Run, step: PlanReplace): Promise<StepResult> {
  const { id, databases, usedBy } = step;
  const clusters = databases.flatMap(({ database, cluster }) =>
    cluster === undefined ? [] : [{ database, ...cluster }],
  );
  await together(databases.map((restored) => () => assertRejoins(run, restored)));
  await stopServers(run, step);
  await together(step.targets.map((target) => () => moveOne(run, step, target)));
  await attest(run, { usedBy }, databases.flatMap(serversOf));
  await together(clusters.map((cluster) => () => leaveBalancer(run, step, cluster)));
  await CancellationScope.nonCancellable(() => commitAll(run, step));
  if (clusters.length > 0) {
    // The balancer moves documents: it comes back once all is compared.
    await closeScope(run, `${id}/2`);
    await closeScope(run, `${id}/1`);
  } else await closeScope(run, id);
  const problems = await compareAll(run, step);
  if (clusters.length > 0) await closeScope(run, id);
  if (problems.length > 0)
    throw ApplicationFailure.nonRetryable(
      `restored, and not known to be what it was at the backup: ${problems.slice(0, 5).join('; ')}`,
      'RestoreDiffers',
    );
  return { outcome: 'done' };
}

/** Only the members that go on can tell, each to the agent of its host: asked as late as may be. */
async function assertRejoins(run: Run, { database, rejoins }: PlanRestored): Promise<void> {
  if (rejoins === undefined) return;
  const { site } = planOf(run);
  const hosts = [...new Set(rejoins.others.map(({ host }) => host))].sort();
  const answers = await together(
    hosts.map((host) => () => {
      const { mongodbRejoin } = agent(site, host, {
        ...{ summary: `may ${rejoins.member} be replaced?`, withinMs: 2 * shortMs },
      });
      return mongodbRejoin({ site, database, rejoins });
    }),
  );
  const problems = [
    ...answers.flatMap((answer) => answer.problems),
    ...(answers.some(({ hasPrimary }) => hasPrimary)
      ? []
      : ['none of the others that could be asked is the primary of its set']),
  ];
  if (problems.length > 0)
    throw ApplicationFailure.nonRetryable(
      `${rejoins.member} of ${database} was not stopped: ${problems.join('; ')}`,
      'NotRejoinable',
    );
}

interface Server {
  readonly name: string;
  readonly service: string;
  readonly host: HostName;
  readonly stopWithinMs: number;
}

async function stopServers(run: Run, { id, databases }: PlanReplace): Promise<void> {
  await together(
    databases.map((restored) => async () => {
      const scope = `${id}/1/${restored.database}`;
      const { cluster, members } = restored;
      if (cluster === undefined) return stopAll(run, id, scope, members, restored.rejoins !== undefined);
      // They come back the other way round: config servers, shards, routers.
      await stopAll(run, id, `${scope}/0`, routersOf(cluster));
      for (const [place, role] of (['shard', 'config'] as const).entries())
        await stopAll(run, id, `${scope}/${place + 1}`, membersOf(restored, cluster, role));
    }),
  );
}

async function stopAll(
  run: Run,
  id: string,
  scope: string,
  servers: readonly Server[],
  startsOnceKept = false,
): Promise<void> {
  await together(
    servers.map(({ name, host, service, stopWithinMs }) => async () => {
      const position = `${scope}/${name}`;
      const done = showNow(run, position, {
        ...{ step: id, text: `stopping ${name}`, until: null, then: null },
      });
      await makeChange(run, {
        ...{ host, position, step: id, withinMs: stopWithinMs },
        change: { kind: 'service-stopped', service, ...(startsOnceKept && { startsOnceKept }) },
      }).finally(done);
    }),
  );
}

function routersOf({ routers }: PlanCluster): readonly Server[] {
  return routers.flatMap(({ service, hosts, stopWithinMs }) =>
    hosts.map((host) => ({ name: `${service}@${host}`, service, host, stopWithinMs })),
  );
}

function membersOf(
  { members }: PlanRestored,
  { sets }: PlanCluster,
  role: PlanCluster['sets'][number]['role'],
): PlanRestored['members'] {
  const names = sets.filter((set) => set.role === role).flatMap((set) => set.members);
  return members.filter(({ name }) => names.includes(name));
}

function serversOf({ members, cluster }: PlanRestored): PlanReplace['usedBy'] {
  const routers = cluster === undefined ? [] : routersOf(cluster);
  return [...routers, ...members].map(({ service, host }) => ({ service, hosts: [host] }));
}

/**
 * The copied settings say that the balancer is off, as the night had stopped it: from now on whoever brings back puts
 * them as the night had found them. A cluster that was found stopped is left stopped, and nobody could ask for it.
 */
async function leaveBalancer(
  run: Run,
  { id, databases }: PlanReplace,
  cluster: PlanCluster & { readonly database: string },
): Promise<void> {
  const { database, mongosHost, balancer, routers, sets } = cluster;
  const members = databases.find((one) => one.database === database)?.members ?? [];
  const isUp = (set: PlanCluster['sets'][number]) =>
    2 * members.filter((one) => set.members.includes(one.name) && wasRunning(run, one)).length >
    set.members.length;
  const asked = routersOf({ ...cluster, routers }).filter(({ host }) => host === mongosHost);
  if (!asked.some((router) => wasRunning(run, router)) || !sets.every(isUp)) {
    run.warnings.push(
      `the servers of ${database} were found stopped, and are left so: its balancer is off, as in the set; when they run: sh.startBalancer(), where it is to be on`,
    );
    return;
  }
  await makeChange(run, {
    ...{ host: mongosHost, step: id, withinMs: shortMs, position: `${id}/0/${database}` },
    change: { kind: 'balancer-replaced', database, settings: balancer },
  });
}

function wasRunning(run: Run, { service, host }: Pick<Server, 'service' | 'host'>): boolean {
  return run.found.get(`${service}@${host}`) !== 'stopped';
}

async function moveOne(run: Run, step: PlanReplace, target: PlanReplace['targets'][number]): Promise<void> {
  const { database, member, host, artifact, to } = target;
  const { aside = [] } = await makeChange(run, {
    ...{ host, step: step.id, withinMs: shortMs },
    position: `${step.id}/2/${placeOf(target)}/${step.set.id}`,
    change: {
      ...{ kind: 'data-moved-aside', database, set: step.set, artifact },
      ...(member !== undefined && { member }),
      ...(to !== undefined && { to }),
    },
  });
  note(run, (report) => ({
    ...report,
    targets: report.targets.map((one) =>
      one.database === database && one.member === member ? { ...one, aside } : one,
    ),
  }));
}

/** On every host that has data of it, or its balancer; each answers once it is on its disk. */
async function commitAll(run: Run, { id, targets, databases }: PlanReplace): Promise<void> {
  const routing = databases.flatMap(({ cluster }) => (cluster === undefined ? [] : [cluster.mongosHost]));
  const hosts = [...new Set([...targets.map(({ host }) => host), ...routing])].sort();
  const { site } = planOf(run);
  const answers = await Promise.all(
    hosts.map(async (host) => {
      try {
        const { commit } = agent(site, host, {
          ...{ summary: 'keep the restored data', withinMs: shortMs, allWithinMs: commitMs },
          attempts: Number.POSITIVE_INFINITY,
        });
        await commit({ ref: refOf(run, host), scope: id });
        return null;
      } catch (error) {
        return `${host}: ${messageOf(error)}`;
      }
    }),
  );
  const failed = answers.filter((answer) => answer !== null);
  if (failed.length < hosts.length) note(run, (report) => ({ ...report, committed: true }));
  if (failed.length === 0) return;
  const kept = hosts.filter((_, index) => answers[index] === null);
  throw ApplicationFailure.nonRetryable(
    kept.length === 0
      ? `the restored data could not be kept: ${failed.join('; ')}`
      : `the restored data is kept on ${kept.join(', ')}, and perhaps not on others: ${failed.join('; ')}. Look at the hosts before anything writes`,
    'NotCommitted',
  );
}

/** Who uses it is still stopped: what is there is what was restored. */
async function compareAll(run: Run, { id, databases }: PlanReplace): Promise<readonly string[]> {
  const compared = await together(
    databases
      .filter(({ members }) => members.length > 0)
      .flatMap((restored) => partsOf(restored).map((part) => ({ ...part, database: restored.database })))
      .map(({ what, database, compare }) => async () => {
        const done = showNow(run, `${id}/compare/${what}`, {
          ...{ step: id, text: `comparing ${what} with the set`, until: null, then: null },
        });
        const { text, problems } = await compare(run).finally(done);
        return {
          database,
          text: what === database ? text : `${what.slice(database.length + 1)}: ${text}`,
          problems,
        };
      }),
  );
  note(run, (report) => ({
    ...report,
    compared: compared.map(({ database, text }) => ({ database, text })),
  }));
  return compared.flatMap(({ problems }) => problems);
}

interface Compared {
  readonly text: string;
  readonly problems: readonly string[];
}

interface Part {
  /** `orders`, `vitam-mongo shard1` */
  readonly what: string;
  readonly compare: (run: Run) => Promise<Compared>;
}

/** A replica set as a whole; of a cluster each set by itself, and what mongos says of it. */
function partsOf({ database, members, fingerprint, cluster, rejoins }: PlanRestored): readonly Part[] {
  if (rejoins !== undefined) return [{ what: database, compare: () => Promise.resolve(rejoined(rejoins)) }];
  if (cluster === undefined)
    return [
      {
        what: database,
        compare: (run) => compareSet(run, database, { what: database, members, fingerprint }),
      },
    ];
  return [
    { what: `${database} mongos`, compare: (run) => compareRouted(run, database, cluster) },
    ...cluster.sets.map((set) => ({
      what: `${database} ${set.set}`,
      compare: (run: Run) =>
        compareSet(run, database, {
          ...{ what: `${set.set} of ${database}`, fingerprint: set.fingerprint },
          members: members.filter(({ name }) => set.members.includes(name)),
        }),
    })),
  ];
}

/** Its start has waited for that: see waitUntilMemberReady. */
function rejoined({ member, others }: PlanRejoin): Compared {
  const names = others.map(({ name }) => name).join(', ');
  return {
    text: `not compared, as its set went on: ${member} is a healthy member and has caught up with ${names}`,
    problems: [],
  };
}

/** Through a router that was started on the restored config servers. */
async function compareRouted(
  run: Run,
  database: string,
  { mongosHost, routers, shards }: PlanCluster,
): Promise<Compared> {
  const asked = routers.some(
    (one) => one.hosts.includes(mongosHost) && wasRunning(run, { ...one, host: mongosHost }),
  );
  if (!asked) return notCompared(run, database, 'its routers were found stopped, and are left stopped');
  try {
    const { mongodbTopology } = agent(planOf(run).site, mongosHost, {
      ...{ summary: `what mongos says of ${database}`, withinMs: shortMs },
    });
    const now = await mongodbTopology({ site: planOf(run).site, database });
    const problems = differentShards(shards, now.shards ?? []).map((what) => `${database}: ${what}`);
    if (problems.length > 0) return { text: `differs: ${problems.join('; ')}`, problems };
    return { text: `routes to ${shards.map(({ _id }) => String(_id)).join(', ')}, as in the set`, problems };
  } catch (error) {
    if (isCancellation(error)) throw error;
    const text = `the router of ${database} could not be asked: ${messageOf(error)}`;
    return { text, problems: [text] };
  }
}

function notCompared(run: Run, what: string, why: string): Compared {
  run.warnings.push(`${what} was not compared with the set: ${why}`);
  return { text: `not compared: ${why}`, problems: [] };
}

async function compareSet(
  run: Run,
  database: string,
  { what, members, fingerprint }: Pick<PlanRestored, 'members' | 'fingerprint'> & { readonly what: string },
): Promise<Compared> {
  const [member] = members.filter((one) => wasRunning(run, one));
  if (member === undefined)
    return notCompared(run, what, 'its servers were found stopped, and are left stopped');
  try {
    const { mongodbCompare } = agent(planOf(run).site, member.host, {
      ...{ summary: `compare ${what} with the set`, withinMs: compareMs },
    });
    const { site } = planOf(run);
    const answer = await mongodbCompare({ site, database, member: member.name, fingerprint });
    if (answer.notCompared !== null) return notCompared(run, what, answer.notCompared);
    const { problems } = answer;
    if (problems.length === 0) return { text: `fingerprint passed, asked of ${member.name}`, problems };
    return { text: `differs: ${problems.join('; ')}`, problems };
  } catch (error) {
    if (isCancellation(error)) throw error;
    // One that was ready and does not answer now is nothing to call a success.
    const text = `${what} could not be asked: ${messageOf(error)}`;
    return { text, problems: [text] };
  }
}

function note(run: Run, change: (report: RestoreReport) => RestoreReport): void {
  if (run.restore !== null) run.restore = change(run.restore);
}
