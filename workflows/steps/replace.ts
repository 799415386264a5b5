import { ApplicationFailure } from '@temporalio/common';
import { CancellationScope, isCancellation } from '@temporalio/workflow';
import type { PlanReplace, PlanRestored } from '../../model/plan.ts';
import type { RestoreReport } from '../../model/progress.ts';
import { agent } from '../agents.ts';
import { attest } from '../copy.ts';
import { messageOf } from '../failures.ts';
import { closeScope, makeChange, refOf } from '../ledger.ts';
import { planOf, showNow, type Run } from '../run.ts';
import type { StepResult } from '../steps.ts';
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
  const members = databases.flatMap((one) => one.members);
  await stopMembers(run, step);
  await together(step.targets.map((target) => () => moveOne(run, step, target)));
  await attest(
    run,
    { usedBy },
    members.map(({ service, host }) => ({ service, hosts: [host] })),
  );
  await CancellationScope.nonCancellable(() => commitAll(run, step));
  await closeScope(run, id);
  const problems = await compareAll(run, step);
  if (problems.length > 0)
    throw ApplicationFailure.nonRetryable(
      `restored, and not known to be what it was at the backup: ${problems.slice(0, 5).join('; ')}`,
      'RestoreDiffers',
    );
  return { outcome: 'done' };
}

async function stopMembers(run: Run, { id, databases }: PlanReplace): Promise<void> {
  await together(
    databases.flatMap(({ database, members }) =>
      members.map(({ name, host, service, stopWithinMs }) => async () => {
        const position = `${id}/1/${database}/${name}`;
        const done = showNow(run, position, {
          ...{ step: id, text: `stopping ${name}`, until: null, then: null },
        });
        await makeChange(run, {
          ...{ host, position, step: id, withinMs: stopWithinMs },
          change: { kind: 'service-stopped', service },
        }).finally(done);
      }),
    ),
  );
}

async function moveOne(run: Run, step: PlanReplace, target: PlanReplace['targets'][number]): Promise<void> {
  const { database, member, host, artifact } = target;
  const { aside = [] } = await makeChange(run, {
    ...{ host, step: step.id, withinMs: shortMs },
    position: `${step.id}/2/${placeOf(target)}/${step.set.id}`,
    change: {
      ...{ kind: 'data-moved-aside', database, set: step.set, artifact },
      ...(member !== undefined && { member }),
    },
  });
  note(run, (report) => ({
    ...report,
    targets: report.targets.map((one) =>
      one.database === database && one.member === member ? { ...one, aside } : one,
    ),
  }));
}

/** On every host that has data of it; each answers once it is on its disk. */
async function commitAll(run: Run, { id, targets }: PlanReplace): Promise<void> {
  const hosts = [...new Set(targets.map(({ host }) => host))].sort();
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
      .map((restored) => async () => {
        const done = showNow(run, `${id}/compare/${restored.database}`, {
          ...{ step: id, text: `comparing ${restored.database} with the set`, until: null, then: null },
        });
        return compareOne(run, restored).finally(done);
      }),
  );
  note(run, (report) => ({
    ...report,
    compared: compared.map(({ database, text }) => ({ database, text })),
  }));
  return compared.flatMap(({ problems }) => problems);
}

interface Compared {
  readonly database: string;
  readonly text: string;
  readonly problems: readonly string[];
}

async function compareOne(run: Run, { database, members, fingerprint }: PlanRestored): Promise<Compared> {
  const running = members.filter(({ service, host }) => run.found.get(`${service}@${host}`) !== 'stopped');
  const notCompared = (why: string): Compared => {
    run.warnings.push(`${database} was not compared with the set: ${why}`);
    return { database, text: `not compared: ${why}`, problems: [] };
  };
  const [member] = running;
  if (member === undefined) return notCompared('its servers were found stopped, and are left stopped');
  try {
    const { mongodbCompare } = agent(planOf(run).site, member.host, {
      ...{ summary: `compare ${database} with the set`, withinMs: compareMs },
    });
    const { site } = planOf(run);
    const answer = await mongodbCompare({ site, database, member: member.name, fingerprint });
    if (answer.notCompared !== null) return notCompared(answer.notCompared);
    const { problems } = answer;
    if (problems.length === 0)
      return { database, text: `fingerprint passed, asked of ${member.name}`, problems };
    return { database, text: `differs: ${problems.join('; ')}`, problems };
  } catch (error) {
    if (isCancellation(error)) throw error;
    // One that was ready and does not answer now is nothing to call a success.
    const text = `${database} could not be asked: ${messageOf(error)}`;
    return { database, text, problems: [text] };
  }
}

function note(run: Run, change: (report: RestoreReport) => RestoreReport): void {
  if (run.restore !== null) run.restore = change(run.restore);
}
