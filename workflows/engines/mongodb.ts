import { ApplicationFailure } from '@temporalio/common';
import { isCancellation, patched, sleep, workflowInfo } from '@temporalio/workflow';
import type { MongodbMemberInfo, MongodbTopology } from '../../model/activities.ts';
import type { MemberGuard, Optime } from '../../model/ledger.ts';
import type { MongodbSetRecord } from '../../model/manifest.ts';
import type { PlanMongodb } from '../../model/plan.ts';
import { agent } from '../agents.ts';
import { artifactName, snapshotScope, type Archive, type BackupTarget } from '../backup-target.ts';
import { attest, copyOnHost, copyTo } from '../copy.ts';
import { messageOf } from '../failures.ts';
import { closeScope, makeChange, refOf } from '../ledger.ts';
import { planOf, showNow, type Run } from '../run.ts';
import { together } from '../together.ts';

const shortMs = 60_000;
/** For migrations, index builds and transactions under way to end. */
const gateMs = 30 * 60_000;
const balancerMs = 10 * 60_000;
const fingerprintMs = 60 * 60_000;
/** For what the cache of a large server holds to be on its disk. */
const flushMs = 15 * 60_000;
/** For durable and majority optimes to reach the marker before a stop. */
const catchUpMs = 10 * 60_000;
const electionAttempts = 10;

type ClusterSet = MongodbTopology['sets'][number];
type Member = PlanMongodb['members'][number];

/** A member that is stopped, with what the manifest needs of it. */
interface Stopped {
  readonly set: ClusterSet;
  readonly member: Member;
  readonly marker: Optime | null;
  readonly info: MongodbMemberInfo;
}

/**
 * The dance of the shards, as the Vitam runbook has it: balancer off and settled; per shard, at once, the elected
 * primary found and stopped; when all are stopped, that of the config servers; all copied at once; then each shard
 * back, then the config servers, then the balancer, which waits for the fingerprints: it moves documents. The order
 * back is in the positions: the highest goes first. With `copy-by` what is copied at once are the data on the hosts.
 *
 * @returns what makes archives of those copies.
 */
export async function backupMongodb(
  run: Run,
  plan: PlanMongodb,
  target: BackupTarget,
): Promise<Archive | null> {
  const order = orderOf(plan);
  const topology = await askCluster(run, plan).mongodbTopology(here(run, plan));
  const shards = topology.sets.filter(({ role }) => role !== 'config');
  const config = topology.sets.filter(({ role }) => role === 'config');

  if (topology.topology === 'sharded') await stopBalancer(run, plan, target);
  await passGate(run, plan, target);
  const markers = new Map(
    await Promise.all(topology.sets.map(async (set) => [set.set, await mark(run, plan, set)] as const)),
  );

  // One-member sets go down wholly: config servers must be back before the shards that ask them.
  const [shardPlace, configPlace] = plan.allowSetDown ? [1, 2] : [2, 1];
  const stopAll = (sets: readonly ClusterSet[], place: number) =>
    together(
      sets.map((set) => () => {
        const position = `${membersScope(target, order)}/${place}/${set.set}`;
        return stopElected(run, plan, target, { set, position, markers, order });
      }),
    );
  const stopped = [...(await stopAll(shards, shardPlace)), ...(await stopAll(config, configPlace))];

  const { prints, archive } = order.membersFirst
    ? await membersFirst(run, plan, target, stopped, order)
    : { prints: await allAtOnce(run, plan, target, stopped), archive: null };
  const record = (): void =>
    void target.databases.push({
      engine: 'mongodb',
      database: plan.database,
      topology: topology.topology,
      shards: topology.shards,
      balancer: topology.balancer,
      sets: stopped.map((one, index) => setRecord(plan, target, one, prints[index] ?? nobody)),
    });
  if (archive !== null)
    return async () => {
      await archive();
      record();
    };
  record();
  return null;
}

/** null: nobody else could be asked. */
type Print = Pick<MongodbSetRecord, 'fingerprint' | 'fingerprintOf'> | null;

const nobody: NonNullable<Print> = {
  fingerprint: {
    none: 'no other member could be asked at the backup; with copy-by it is read of the copy on the host',
  },
};

interface Order {
  /** Members are back before fingerprints are taken, and the balancer is. */
  readonly membersFirst: boolean;
  /** Copies on the hosts are archived when the steps are done. */
  readonly archivesLast: boolean;
}

/** A run that was under way before all was in this order goes on as it began. */
function orderOf({ copyBy }: PlanMongodb): Order {
  return patched('members-back-first')
    ? { membersFirst: true, archivesLast: true }
    : { membersFirst: copyBy !== undefined, archivesLast: false };
}

/** Of runs that began so: everything is started again when copies and fingerprints are done. */
async function allAtOnce(
  run: Run,
  plan: PlanMongodb,
  target: BackupTarget,
  stopped: readonly Stopped[],
): Promise<readonly Print[]> {
  const [, prints] = await together<unknown>([
    () => together(stopped.map((one) => () => copyMember(run, plan, target, one))),
    () => together(stopped.map((one) => () => fingerprint(run, plan, target, one))),
    () => together(stopped.map((one) => () => assertNoWriter(run, plan, one))),
  ]);
  await attest(run, plan, membersOfHosts(stopped));
  await closeScope(run, target.scope);
  return prints as readonly Print[];
}

/**
 * Copied on their hosts, or archived where that is not possible, and started again; the balancer comes back when the
 * fingerprints are taken. The archives of the copies need neither. Where nobody else could be asked, the fingerprint is
 * taken of the copy, once that is archived.
 */
async function membersFirst(
  run: Run,
  plan: PlanMongodb,
  target: BackupTarget,
  stopped: readonly Stopped[],
  order: Order,
): Promise<{ readonly prints: readonly Print[]; readonly archive: Archive | null }> {
  const [printed, changes] = (await together<unknown>([
    async () => {
      const taken = await together(stopped.map((one) => () => fingerprint(run, plan, target, one)));
      await attest(run, plan);
      return taken;
    },
    async () => {
      const copies = await together(stopped.map((one) => () => takeStopped(run, plan, target, one)));
      await together([
        () => attest(run, plan, membersOfHosts(stopped)),
        ...stopped.map((one) => () => assertNoWriter(run, plan, one)),
      ]);
      await closeScope(run, membersScope(target, order));
      if (!order.archivesLast) await together(archivesOf(copies));
      return copies;
    },
  ])) as [readonly Print[], readonly (string | null)[]];
  await closeScope(run, target.scope);
  if (!order.archivesLast) await closeScope(run, snapshotScope(target));
  const prints = [...printed];
  if (!order.archivesLast || changes.every((change) => change === null)) return { prints, archive: null };
  const archive = async (): Promise<void> => {
    await together(archivesOf(changes, prints));
    await closeScope(run, snapshotScope(target));
  };
  return { prints, archive };

  function archivesOf(of: readonly (string | null)[], into?: Print[]): readonly Archive[] {
    return stopped.flatMap((one, index) => {
      const copy = of[index] ?? null;
      if (copy === null) return [];
      const archived = (): Promise<void> => archiveSnapshot(run, plan, target, one, copy);
      if (into?.[index] !== null || !patched('fingerprint-of-copy')) return [archived];
      return [
        async () => {
          await archived();
          into[index] = await fingerprint(run, plan, target, one, copy);
        },
      ];
    });
  }
}

/** @returns the change that is the copy on its host; null: it is archived already. */
async function takeStopped(
  run: Run,
  plan: PlanMongodb,
  target: BackupTarget,
  one: Stopped,
): Promise<string | null> {
  const { host, name: member } = one.member;
  const position = `${snapshotScope(target)}/${one.set.set}`;
  const change = await copyOnHost(run, target, plan, { host, position, member });
  if (change === null) await copyMember(run, plan, target, one);
  return change;
}

/** Balancer and members of it are closed one after the other where members are back before the rest is done. */
function membersScope({ scope }: BackupTarget, { membersFirst }: Order): string {
  return membersFirst ? `${scope}/1` : scope;
}

function membersOfHosts(stopped: readonly Stopped[]) {
  return stopped.map(({ member }) => ({ service: member.service, hosts: [member.host] }));
}

async function stopBalancer(run: Run, plan: PlanMongodb, target: BackupTarget): Promise<void> {
  const { database } = plan;
  const done = showNow(run, `${target.scope}/balancer`, {
    step: target.step,
    text: `stopping the balancer of ${database}`,
    until: null,
    then: null,
  });
  await makeChange(run, {
    host: clusterHost(plan),
    position: `${target.scope}/0`,
    change: { kind: 'balancer-stopped', database },
    withinMs: balancerMs,
    step: target.step,
  }).finally(done);
}

async function passGate(run: Run, plan: PlanMongodb, target: BackupTarget): Promise<void> {
  const until = new Date(Date.now() + gateMs).toISOString();
  const done = showNow(run, `${target.scope}/gate`, {
    step: target.step,
    text: `waiting until nothing is in flight in ${plan.database}`,
    until,
    then: 'fail: all is brought back',
  });
  // Each host sees only what its own members and its mongos say.
  const hosts = [...new Set([clusterHost(plan), ...plan.members.map(({ host }) => host)])];
  await together(
    hosts.map((host) => async () => {
      const summary = `is anything in flight in ${plan.database}`;
      const { mongodbGate } = agent(planOf(run).site, host, { summary, withinMs: gateMs + shortMs });
      await mongodbGate({ ...here(run, plan), until });
    }),
  ).finally(done);
}

/** On the elected primary of the set, wherever it is by now. null: a standalone server has no oplog. */
async function mark(run: Run, plan: PlanMongodb, set: ClusterSet): Promise<Optime | null> {
  if (set.role === 'standalone') return null;
  const note = `coldbackup ${workflowInfo().workflowId} ${workflowInfo().runId}`;
  for (let attempt = 0; attempt < electionAttempts; attempt++) {
    const primary = await findPrimary(run, plan, set);
    if (primary !== null) {
      const { marker } = await ask(run, primary, `mark ${set.set}`).mongodbMark({
        ...of(run, plan, primary),
        note,
      });
      if (marker !== null) return marker;
    }
    await sleep(1_000, { summary: `${set.set}: no primary to mark` });
  }
  throw ApplicationFailure.nonRetryable(
    `${set.set} had no primary to mark in ${electionAttempts} attempts`,
    'NoPrimary',
  );
}

/** Finds the member and stops it; if the primary moved in between, this set alone is done again. */
async function stopElected(
  run: Run,
  plan: PlanMongodb,
  target: BackupTarget,
  {
    set,
    position,
    markers,
    order,
  }: {
    readonly set: ClusterSet;
    readonly position: string;
    readonly markers: ReadonlyMap<string, Optime | null>;
    readonly order: Order;
  },
): Promise<Stopped> {
  const marker = markers.get(set.set) ?? null;
  for (let attempt = 1; attempt <= electionAttempts; attempt++) {
    const chosen = await choose(run, plan, set);
    if (chosen !== null) {
      const { member, role } = chosen;
      const done = showNow(run, position, {
        step: target.step,
        text: `stopping ${member.name}, ${role} of ${set.set}`,
        until: null,
        then: null,
      });
      const info = await ask(run, member, `describe ${member.name}`).mongodbDescribe(of(run, plan, member));
      const guard: MemberGuard = {
        kind: 'mongodb-member',
        database: plan.database,
        member: member.name,
        role,
        ...(marker && { marker }),
      };
      if (order.membersFirst) await flush(run, plan, member);
      const { outcome } = await makeChange(run, {
        host: member.host,
        position: `${position}/${attempt}`,
        change: { kind: 'service-stopped', service: member.service, guard },
        withinMs: catchUpMs + member.stopWithinMs,
        step: target.step,
      }).finally(done);
      if (outcome === 'done') return { set, member, marker, info };
    }
    await sleep(1_000, { summary: `${set.set}: the primary moved` });
  }
  throw ApplicationFailure.nonRetryable(
    `the primary of ${set.set} moved ${electionAttempts} times`,
    'NoPrimary',
  );
}

/** What it has not written by itself is written before the stop instead of in it; one that may not is stopped as it is. */
async function flush(run: Run, plan: PlanMongodb, member: Member): Promise<void> {
  const { mongodbFlush } = ask(run, member, `checkpoint of ${member.name}`, flushMs);
  await mongodbFlush(of(run, plan, member));
}

async function choose(
  run: Run,
  plan: PlanMongodb,
  set: ClusterSet,
): Promise<{ member: Member; role: MemberGuard['role'] } | null> {
  const members = membersOf(plan, set);
  const [only] = members;
  if (set.role === 'standalone') return only === undefined ? null : { member: only, role: 'standalone' };
  const primary = await findPrimary(run, plan, set);
  if (primary === null) return null;
  if (plan.from === 'primary' || members.length === 1) return { member: primary, role: 'primary' };
  const [secondary] = await othersOf(run, plan, { set, member: primary, marker: null });
  return secondary === undefined ? null : { member: secondary, role: 'secondary' };
}

/** Who has all that the set has comes first: one that is delayed, lags or heals would be waited for, or refused. */
async function othersOf(
  run: Run,
  plan: PlanMongodb,
  { set, member, marker }: Pick<Stopped, 'set' | 'member' | 'marker'>,
): Promise<readonly Member[]> {
  const others = membersOf(plan, set).filter(({ name }) => name !== member.name);
  if (others.length < 2 || !patched('newest-member-first')) return others;
  for (const other of others) {
    try {
      const { members } = await ask(run, other, `who of ${set.set} has caught up`).mongodbNewestFirst({
        ...of(run, plan, other),
        marker,
      });
      const place = ({ name }: Member) => (members.includes(name) ? members.indexOf(name) : members.length);
      return others.toSorted((a, b) => place(a) - place(b));
    } catch (error) {
      if (isCancellation(error)) throw error;
    }
  }
  return others;
}

/** Any member that answers knows who is elected. */
async function findPrimary(run: Run, plan: PlanMongodb, set: ClusterSet): Promise<Member | null> {
  const members = membersOf(plan, set);
  const errors: unknown[] = [];
  for (const member of members) {
    try {
      const { primary } = await ask(run, member, `who is primary of ${set.set}`).mongodbPrimary(
        of(run, plan, member),
      );
      return members.find(({ name }) => name === primary) ?? null;
    } catch (error) {
      errors.push(error);
    }
  }
  throw errors[0];
}

async function copyMember(
  run: Run,
  plan: PlanMongodb,
  target: BackupTarget,
  { set, member }: Stopped,
): Promise<void> {
  await copyTo(run, target, {
    host: member.host,
    source: { kind: 'mongodb-member', database: plan.database, member: member.name },
    artifact: artifactOf(plan, target, set),
  });
}

async function archiveSnapshot(
  run: Run,
  plan: PlanMongodb,
  target: BackupTarget,
  { set, member }: Stopped,
  change: string,
): Promise<void> {
  await copyTo(run, target, {
    host: member.host,
    source: { kind: 'snapshot', database: plan.database, member: member.name, change },
    artifact: artifactOf(plan, target, set),
    scope: snapshotScope(target),
  });
}

/**
 * On another member, which still runs: inside the downtime nothing is read twice. Or of the copy of this one. One that
 * cannot be taken costs the comparison, not the copy.
 */
async function fingerprint(
  run: Run,
  plan: PlanMongodb,
  { step }: BackupTarget,
  { set, member, marker, info }: Stopped,
  copy?: string,
): Promise<Print> {
  if (plan.fingerprint === 'none') return { fingerprint: { none: 'the site file says fingerprint: none' } };
  const [on] = copy === undefined ? await othersOf(run, plan, { set, member, marker }) : [member];
  if (on === undefined) return null;
  const { database } = plan;
  const what = `fingerprint of ${database} ${set.set}`;
  const where = copy === undefined ? on.name : `the copy of ${on.name}`;
  const done = showNow(run, what, {
    ...{ step, text: `taking the ${what} on ${where}`, until: null, then: null },
  });
  const beganAtMs = Date.now();
  try {
    const print = await (copy === undefined
      ? ask(run, on, `fingerprint of ${set.set}`, fingerprintMs).mongodbFingerprint({
          ...of(run, plan, on),
          marker,
        })
      : askCopy(run, on).fingerprintCopy({
          ...{ ref: refOf(run, on.host), database, member: on.name, change: copy },
          ...{ version: info.version, marker },
        }));
    const tookMs = Date.now() - beganAtMs;
    const ofCopy = copy !== undefined;
    run.fingerprints.push({
      database,
      set: set.set,
      member: on.name,
      ...(ofCopy && { copy: ofCopy }),
      tookMs,
    });
    return { fingerprint: print, ...(ofCopy && { fingerprintOf: 'copy' }) };
  } catch (error) {
    if (isCancellation(error) || !patched('fingerprint-may-fail')) throw error;
    const why = messageOf(error);
    run.warnings.push(`the set has no ${what}, so a drill cannot compare its content: ${why}`);
    return { fingerprint: { none: why } };
  } finally {
    done();
  }
}

/** Nobody waits for it but the set, which has to be whole by up-by: half of the time that is left is for this. */
function askCopy(run: Run, { host, name }: Member) {
  const leftMs = Math.max(0, Date.parse(run.deadline.upBy) - Date.now());
  const withinMs = Math.min(fingerprintMs, Math.ceil(leftMs / 2) + 1_000);
  const summary = `fingerprint of the copy of ${name}`;
  return agent(planOf(run).site, host, { summary, withinMs, allWithinMs: withinMs, copy: true });
}

/** Stopping a primary does not stop writes: the set elects another. */
async function assertNoWriter(run: Run, plan: PlanMongodb, { set, member, marker }: Stopped): Promise<void> {
  if (marker === null) return;
  const [other] = await othersOf(run, plan, { set, member, marker });
  if (other === undefined) return;
  const writes = await ask(run, other, `did anybody write to ${set.set}`).mongodbWritesSince({
    ...of(run, plan, other),
    marker,
  });
  if (writes.length > 0)
    throw ApplicationFailure.nonRetryable(
      `${set.set} was written to after its last known writer stopped: ${writes.slice(0, 5).join('; ')}; name the writer in used-by and stop it`,
      'NotAtRest',
    );
}

function setRecord(
  plan: PlanMongodb,
  target: BackupTarget,
  { set, member, marker, info }: Stopped,
  print: NonNullable<Print>,
): MongodbSetRecord {
  return {
    ...info,
    set: set.set,
    role: set.role,
    member: member.name,
    artifact: artifactOf(plan, target, set),
    marker,
    ...print,
  };
}

function artifactOf({ database }: PlanMongodb, target: BackupTarget, { set }: ClusterSet): string {
  return artifactName(target, `${database}/${set.replaceAll(/[^\w.-]/g, '_')}`);
}

function membersOf(plan: PlanMongodb, set: ClusterSet): readonly Member[] {
  return plan.members.filter(({ name }) => set.members.includes(name));
}

function ask(run: Run, { host }: Member, summary: string, withinMs = shortMs) {
  return agent(planOf(run).site, host, { summary, withinMs });
}

function askCluster(run: Run, plan: PlanMongodb, withinMs = shortMs) {
  return agent(planOf(run).site, clusterHost(plan), { summary: `cluster ${plan.database}`, withinMs });
}

function clusterHost({ mongosHost, members, database }: PlanMongodb): string {
  const host = mongosHost ?? members[0]?.host;
  if (host === undefined) throw ApplicationFailure.nonRetryable(`${database} has no members`, 'UnknownName');
  return host;
}

function here(run: Run, { database }: PlanMongodb) {
  return { site: planOf(run).site, database };
}

function of(run: Run, plan: PlanMongodb, { name }: Member) {
  return { ...here(run, plan), member: name };
}
