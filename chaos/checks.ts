import { readdirSync, readFileSync } from 'node:fs';
import type { JournalRecord } from '../activities/ledger/records.ts';
import { startTimeOf } from '../activities/system/processes.ts';
import { isAlive } from '../demo/local/processes.ts';
import { waitFor } from '../demo/local/wait.ts';
import type { Report } from '../model/progress.ts';
import type { Fault } from './fault.ts';
import type { Rig } from './rig.ts';
import { closedOf, manifestsIn, type Before } from './seen.ts';
import { hosts, type ServiceName } from './site.ts';

/** Every service as it was found, not held, every journal empty, the replica set whole. Not a word: all is back. */
export async function notBack(rig: Rig): Promise<string | undefined> {
  const wrong = notUp(rig, rig.site.serviceNames) ?? stillHeld(rig);
  return wrong ?? (await rig.site.mongodb?.trouble()) ?? undefined;
}

/** Of these services, whatever the journals say. */
export function notUp({ site }: Rig, names: readonly ServiceName[]): string | undefined {
  const wrong = names.flatMap((name) => {
    if (site.isHeld(name)) return [`${name} is held down`];
    if (name === 'spare') return site.isRunning(name) ? ['spare runs, and was found stopped'] : [];
    if (!site.isRunning(name)) return [`${name} is stopped`];
    return site.isReady(name) ? [] : [`${name} is not ready`];
  });
  return wrong.join(', ') || undefined;
}

function stillHeld(rig: Rig): string | undefined {
  const held = hosts.flatMap((host) => {
    try {
      return rig.journal(host).claim === null ? [] : [`the journal of ${host} is not empty`];
    } catch {
      return [`the journal of ${host} cannot be read now`];
    }
  });
  return held.join(', ') || undefined;
}

/** How the run ended; `lost`: none of its code ran at the end. */
export interface RunEnd {
  readonly outcome: Report['outcome'] | 'lost';
  readonly report: Report | null;
  readonly runId: string;
}

/** What is wrong once a cell is over and its rig is whole again. */
export async function checkAfter(
  rig: Rig,
  { fault, before, end, late }: { fault: Fault; before: Before; end: RunEnd; late: boolean },
): Promise<readonly string[]> {
  const back = await notBack(rig);
  return [
    ...(back === undefined ? [] : [`when all was over: ${back}`]),
    ...checkStarts(rig, fault, before),
    ...checkFence(rig, before),
    ...(await checkProcesses(rig, before)),
    ...(await checkSetsAndReport(rig, { fault, before, end, late })),
  ];
}

function checkStarts({ site }: Rig, { starts: most = 1 }: Fault, before: Before): readonly string[] {
  return site.serviceNames
    .map((name) => ({ name, starts: site.starts(name) - (before.starts.get(name) ?? 0) }))
    .filter(({ starts }) => starts > most)
    .map(({ name, starts }) => `${name} was started ${starts} times`);
}

/** No change begins after somebody took over to bring back. */
function checkFence(rig: Rig, before: Before): readonly string[] {
  return closedSince(rig, before).flatMap((records) => {
    const fence = records.findIndex((record) => record.r === 'epoch' && record.runId === undefined);
    return records
      .slice(fence < 0 ? records.length : fence)
      .filter((record) => record.r === 'intent')
      .map((record) => `change ${record.id} began after a takeover`);
  });
}

async function checkProcesses(rig: Rig, before: Before): Promise<readonly string[]> {
  const left = () => [...jobProcesses(rig, before), ...readersOf(rig)];
  // What was killed may take a moment to go.
  await waitFor(() => left().length === 0, { what: 'no process', withinMs: 5_000 }).catch(() => undefined);
  return left().map((one) => `left running: ${one}`);
}

function jobProcesses(rig: Rig, before: Before): readonly string[] {
  return closedSince(rig, before).flatMap((records) =>
    records.flatMap((record) =>
      record.r === 'process' && isAlive(record.pid) && startTimeOf(record.pid) === record.startTime
        ? [`process ${record.pid} of ${record.job}`]
        : [],
    ),
  );
}

/** Whatever reads the tree. */
function readersOf({ site }: Rig): readonly string[] {
  return readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid))
    .flatMap((pid) => {
      try {
        const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
        const reads =
          ['tar', 'find'].includes(argv[0] ?? '') && argv.some((word) => isBelow(word, site.data));
        return reads && isAlive(Number(pid)) ? [`${argv[0] ?? ''} ${pid}`] : [];
      } catch {
        return [];
      }
    });
}

function isBelow(word: string, folder: string): boolean {
  return word.includes(folder) || word.includes(folder.slice(1));
}

function closedSince(rig: Rig, before: Before): readonly (readonly JournalRecord[])[] {
  return hosts.flatMap((host) =>
    closedOf(rig, host)
      .filter((file) => !before.closed[host].includes(file))
      .map((file) =>
        readFileSync(file, 'utf8')
          .trimEnd()
          .split('\n')
          .map((line) => JSON.parse(line) as JournalRecord),
      ),
  );
}

/** What is listed is whole; and the report says neither too much nor nothing. */
async function checkSetsAndReport(
  rig: Rig,
  { fault, before, end, late }: { fault: Fault; before: Before; end: RunEnd; late: boolean },
): Promise<readonly string[]> {
  const { library } = rig;
  const problems: string[] = [];
  const held = await waitFor(() => library.ledger('chaos'), { what: 'the ledger', withinMs: 60_000 });
  for (const { host, view } of held) {
    if (view === null) problems.push(`${host} does not answer`);
    else if (view.held !== null) problems.push(`ledger: ${host} is held`);
  }
  const listed = await waitFor(() => library.sets('chaos'), { what: 'the sets', withinMs: 60_000 });
  const fresh = listed.filter(
    ({ set }) => !before.sets.some((file) => file.includes(`/${set.procedure}/${set.id}/`)),
  );
  const earlier = fault.keepsEarlier === true ? listed.filter((one) => !fresh.includes(one)) : [];
  if (fault.keepsEarlier === true && earlier.length === 0)
    problems.push('no set of an earlier night is there');
  for (const { set, complete } of [...earlier, ...fresh]) {
    if (!complete) problems.push(`set ${set.id} is listed as not complete`);
    const verified = await waitFor(() => library.setVerify('chaos', set.id), {
      what: `${set.id} to be verified`,
      withinMs: 60_000,
    });
    for (const verification of verified)
      problems.push(...verification.problems.map((problem) => `set ${set.id}: ${problem}`));
  }
  if (fresh.length !== manifestsIn(rig).filter((file) => !before.sets.includes(file)).length)
    problems.push('a set lies in the store and is not listed, or the reverse');

  const { outcome, report } = end;
  const own = report?.sets.map(({ set }) => set.id) ?? [];
  if (outcome === 'complete') {
    if (own.length !== 1 || !fresh.some(({ set }) => own.includes(set.id)))
      problems.push('the report says complete, and there is no set of it');
    if ((report?.notBack.length ?? 0) > 0) problems.push('complete, and not all is back');
  } else if (report !== null && (report.reason ?? '') === '')
    problems.push(`the report says ${outcome}, and no reason`);
  if (outcome === 'lost' && rig.watchdog === null) problems.push('the run is lost, and nobody terminated it');
  if (!late && fault.never?.includes(outcome) === true)
    problems.push(`the outcome is ${outcome}: ${report?.reason ?? ''}`);
  const { says } = fault;
  if (!late && outcome !== 'complete' && says !== undefined && !says.test(report?.reason ?? ''))
    problems.push(`the report does not say ${String(says)}: ${report?.reason ?? ''}`);
  return problems;
}
