import type { ScheduleDescription } from '@temporalio/client';
import { wantedSchedules } from '../model/schedule.ts';
import type { Site } from '../model/site.ts';
import { soon, type Link } from './link.ts';
import { differencesOf, digestOfFacts, factsOf, type FactDifference } from './schedule-facts.ts';
import { optionsOf, scheduleIdOf, scheduleMemo, type Named, type Options } from './schedule-options.ts';
import { describeSchedule, isChangedByHand, ourSchedules, ownerOf } from './schedules.ts';

export interface ScheduleChange extends Named {
  readonly id: string;
  /**
   * `other-site`: of a site that is not in these files, and left alone without `prune`. `not-ours`: somebody else's under
   * our id, which is never touched.
   */
  readonly change: 'same' | 'create' | 'change' | 'delete' | 'other-site' | 'not-ours';
  readonly differences: readonly FactDifference[];
  /** It is not as `apply` left it. */
  readonly changedByHand: boolean;
  /** The note; null: active. Applying leaves it as it is. */
  readonly paused: string | null;
}

export interface ApplyOptions {
  /** Only tell what would be done. */
  readonly dryRun?: boolean;
  /** Also delete schedules of sites that are not among these. */
  readonly prune?: boolean;
}

/** Makes the schedules equal to the site files, and tells what was done; only schedules of coldbackup are touched. */
export async function applySchedules(
  link: Link,
  sites: readonly Site[],
  { dryRun = false, prune = false }: ApplyOptions = {},
): Promise<readonly ScheduleChange[]> {
  const today = new Date().toISOString();
  const wanted = sites.flatMap((site) => wantedSchedules(site, today)).map(optionsOf);
  const changes: ScheduleChange[] = [];
  for (const options of wanted) {
    const described = await describeSchedule(link, options.scheduleId);
    const change = compare(options, described);
    if (!dryRun) await make(link, change, options);
    changes.push(change);
  }
  const ids = new Set(wanted.map(({ scheduleId }) => scheduleId));
  for (const named of await ourSchedules(link)) {
    if (ids.has(scheduleIdOf(named))) continue;
    const isGone = prune || sites.some(({ site }) => site === named.site);
    const change = await compareLeftOver(link, named, isGone ? 'delete' : 'other-site');
    if (change === null) continue;
    if (isGone && !dryRun) await soon(link, () => link.client.schedule.getHandle(change.id).delete());
    changes.push(change);
  }
  return changes.sort((a, b) => a.id.localeCompare(b.id));
}

function compare(options: Options, described: ScheduleDescription | null): ScheduleChange {
  const { scheduleId: id } = options;
  const named = options.memo[scheduleMemo] as Named;
  const wanted = factsOf(options);
  const nothing = { differences: [], changedByHand: false, paused: null };
  if (described === null)
    return { ...named, ...nothing, id, change: 'create', differences: differencesOf({}, wanted) };
  if (ownerOf(id, described.memo) === null) return { ...named, ...nothing, id, change: 'not-ours' };
  const differences = differencesOf(factsOf(described), wanted);
  const stands = standing(described);
  const isSame = differences.length === 0 && !stands.changedByHand;
  return { ...named, ...stands, id, differences, change: isSame ? 'same' : 'change' };
}

async function compareLeftOver(
  link: Link,
  named: Named,
  change: 'delete' | 'other-site',
): Promise<ScheduleChange | null> {
  const id = scheduleIdOf(named);
  const described = await describeSchedule(link, id);
  return described === null ? null : { ...named, id, change, differences: [], ...standing(described) };
}

function standing(described: ScheduleDescription): Pick<ScheduleChange, 'changedByHand' | 'paused'> {
  const { paused, note } = described.state;
  return { changedByHand: isChangedByHand(described), paused: paused ? (note ?? '') : null };
}

async function make(link: Link, { change }: ScheduleChange, options: Options): Promise<void> {
  const applied = digestOfFacts(factsOf(options));
  const action = { ...options.action, memo: { [scheduleMemo]: { applied } } };
  const { schedule } = link.client;
  if (change === 'create') await soon(link, () => schedule.create({ ...options, action }));
  if (change === 'change')
    await soon(link, () =>
      schedule.getHandle(options.scheduleId).update(({ state: { paused, note } }) => ({
        ...{ spec: options.spec, policies: options.policies, action },
        state: { paused, ...(note !== undefined && { note }) },
      })),
    );
}
