import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { StopEvidence } from '../../model/ledger.ts';
import { CommandError } from '../system/command.ts';
import { poll } from '../system/poll.ts';
import { ServiceError, isDown } from './driver.ts';
import type { Observation, ServiceDriver, StartOptions, StopOptions } from './driver.ts';
import { holdUnit, isHeld, releaseUnit, rememberTriggers } from './systemd-hold.ts';
import { exitStatusOf, instantOf, spanMs, unitsOf } from './systemctl.ts';
import type { Manager, Properties } from './systemctl.ts';

/** A unit of systemd, whatever its type. */
export function createSystemdDriver(name: string, manager: Manager): ServiceDriver {
  const unit = unitName(name);
  const observe = async (signal?: AbortSignal): Promise<Observation> => observeUnit(manager, unit, signal);
  return {
    observe,
    holdDown: (by) => holdUnit(manager, unit, by),
    letGo: () => releaseUnit(manager, unit),
    stop: (options) => stopUnit(manager, unit, options),
    start: (options = {}) => startUnit(manager, unit, options),
    async stopTimeoutMs() {
      const [properties] = await manager.show([unit], ['TimeoutStopUSec']);
      return spanMs(properties?.['TimeoutStopUSec']);
    },
    async startedBy() {
      const [properties] = await manager.show([unit], ['TriggeredBy']);
      const triggers = unitsOf(properties ?? {}, 'TriggeredBy');
      const states = await manager.show(triggers, ['ActiveState']);
      return triggers.map((trigger, at) => `${trigger} (${states[at]?.['ActiveState'] ?? 'unknown'})`);
    },
  };
}

/** As systemctl(1) does: a name without a type is a service. */
export function unitName(name: string): string {
  return /\.(service|socket|target|timer|path|mount|slice|scope)$/.test(name) ? name : `${name}.service`;
}

/** What a stop passes on to, systemd.unit(5): Requires=, Requisite=, BindsTo=, PartOf=, PropagatesStopTo=. */
const stopsToo = ['RequiredBy', 'RequisiteOf', 'BoundBy', 'ConsistsOf', 'PropagatesStopTo'];
const observed = [
  'LoadState',
  'LoadError',
  'ActiveState',
  'SubState',
  'Result',
  'InvocationID',
  'ExecMainCode',
  'ExecMainStatus',
  'MainPID',
  'ControlGroup',
  'StateChangeTimestamp',
  'TriggeredBy',
  ...stopsToo,
];

async function observeUnit(manager: Manager, unit: string, signal?: AbortSignal): Promise<Observation> {
  const [properties = {}] = await manager.show([unit], observed, signal);
  const left = processesOf(properties);
  const triggers = await activeOf(manager, unitsOf(properties, 'TriggeredBy'), signal);
  const dragged = await draggedOf(manager, unit, properties, signal);
  return {
    state: stateOf(properties, left),
    since: instantOf(properties, 'StateChangeTimestamp'),
    instance: properties['InvocationID'] === '' ? null : (properties['InvocationID'] ?? null),
    lastExit: exitStatusOf(properties),
    detail: detailOf(properties, left),
    dragged: [...new Set([...triggers, ...dragged])],
    triggers,
  };
}

async function stopUnit(
  manager: Manager,
  unit: string,
  { withinMs, signal }: StopOptions,
): Promise<StopEvidence> {
  const startedAt = performance.now();
  const found = await observeUnit(manager, unit, signal);
  await rememberTriggers(manager, unit, found.triggers);
  try {
    await manager.run(['stop', '--', ...found.triggers, unit], { signal, timeoutMs: withinMs });
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    if (!error.timedOut)
      throw new ServiceError(`${unit} could not be stopped: ${error.message}.`, { cause: error });
  }
  let last = found;
  const gone = await poll(
    async () => {
      last = await observeUnit(manager, unit, signal);
      return isDown(last) ? true : undefined;
    },
    { firstMs: 20, longestMs: 250, until: startedAt + withinMs, signal },
  );
  if (gone !== true) {
    throw new ServiceError(
      `${unit} was not gone ${Math.round(withinMs / 100) / 10} s after "${manager.command} stop ${unit}": ` +
        `it is ${last.detail}. See what it waits for (${manager.command} status ${unit}), or raise stop-within.`,
    );
  }
  return {
    tookMs: performance.now() - startedAt,
    exitStatus: last.lastExit,
    instance: found.instance ?? last.instance,
  };
}

async function startUnit(manager: Manager, unit: string, options: StartOptions): Promise<void> {
  const { signal, withinMs } = options;
  const also = [];
  for (const other of options.also ?? []) {
    if (other !== unit && !(await isHeld(manager, other))) also.push(other);
  }
  // A socket refuses to start once its service runs.
  const units = [...also.filter(isSocket), unit, ...also.filter((other) => !isSocket(other))];
  // A unit that has failed too often would refuse; one that systemd has not loaded is none of these.
  await manager.run(['reset-failed', '--', ...units], { signal, acceptExit: [0, 1, 5] });
  try {
    await manager.run(['start', '--', ...units], {
      signal,
      ...(withinMs === undefined ? {} : { timeoutMs: withinMs }),
    });
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const states = await Promise.all(
      units.map(async (each) => `${each} is ${(await observeUnit(manager, each, signal)).detail}`),
    );
    throw new ServiceError(
      `${unit} did not start: ${error.message}. ${states.join('; ')}. See: journalctl${
        manager.command === 'systemctl' ? '' : ' --user'
      } -u ${unit}`,
      { cause: error },
    );
  }
}

function isSocket(unit: string): boolean {
  return unit.endsWith('.socket');
}

async function activeOf(
  manager: Manager,
  units: readonly string[],
  signal: AbortSignal | undefined,
): Promise<readonly string[]> {
  const states = await manager.show(units, ['ActiveState'], signal);
  return units.filter((_, at) => isActive(states[at] ?? {}));
}

async function draggedOf(
  manager: Manager,
  unit: string,
  properties: Properties,
  signal: AbortSignal | undefined,
): Promise<readonly string[]> {
  const seen = new Set([unit]);
  const active: string[] = [];
  // A stop passes through units that are not active themselves.
  let next = stopsToo.flatMap((name) => unitsOf(properties, name));
  while (next.length > 0) {
    const units = [...new Set(next)].filter((each) => !seen.has(each));
    const shown = await manager.show(units, ['ActiveState', ...stopsToo], signal);
    for (const [at, each] of units.entries()) {
      seen.add(each);
      if (isActive(shown[at] ?? {})) active.push(each);
    }
    next = shown.flatMap((each) => stopsToo.flatMap((name) => unitsOf(each, name)));
  }
  return active;
}

function isActive(properties: Properties): boolean {
  return ['active', 'activating', 'reloading'].includes(properties['ActiveState'] ?? '');
}

function stateOf(properties: Properties, left: readonly string[]): Observation['state'] {
  if (!['loaded', 'masked'].includes(properties['LoadState'] ?? '')) return 'unknown';
  const down = left.length > 0 ? 'stopping' : null;
  switch (properties['ActiveState'] ?? 'unknown') {
    case 'active':
    case 'reloading':
      return 'running';
    case 'activating':
      return 'starting';
    case 'deactivating':
      return 'stopping';
    case 'inactive':
      return down ?? 'stopped';
    case 'failed':
      return down ?? 'failed';
    default:
      return 'unknown';
  }
}

function detailOf(properties: Properties, left: readonly string[]): string {
  const { LoadState, LoadError, ActiveState, SubState, Result } = properties;
  if (LoadState !== 'loaded') {
    return `${LoadState ?? 'unknown'} (${LoadError === undefined || LoadError === '' ? 'no unit file' : LoadError})`;
  }
  const exit = ActiveState === 'failed' ? exitStatusOf(properties) : null;
  const facts = [
    SubState,
    ...(ActiveState === 'failed' ? [`result ${Result ?? 'unknown'}`] : []),
    ...(exit === null ? [] : [`exit status ${exit}`]),
    ...(ActiveState !== 'active' && left.length > 0 ? [`still there: ${left.slice(0, 5).join(', ')}`] : []),
  ];
  return `${ActiveState ?? 'unknown'} (${facts.join(', ')})`;
}

/** Processes in the unit's control group, which systemd does not wait for with KillMode=process, mixed or none. */
function processesOf(properties: Properties): readonly string[] {
  const group = properties['ControlGroup'] ?? '';
  if (group === '' || group === '/') return [];
  const folder = cgroupMounts.map((mount) => join(mount, group)).find((path) => existsSync(path));
  return folder === undefined ? [] : processesUnder(folder);
}

const cgroupMounts = ['/sys/fs/cgroup', '/sys/fs/cgroup/unified', '/sys/fs/cgroup/systemd'];

function processesUnder(folder: string): string[] {
  try {
    const here = readFileSync(join(folder, 'cgroup.procs'), 'utf8')
      .split('\n')
      .filter((pid) => pid !== '')
      .map((pid) => `${nameOf(pid)}[${pid}]`);
    const below = readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .flatMap((entry) => processesUnder(join(folder, entry.name)));
    return [...here, ...below];
  } catch {
    // The group went away while it was read.
    return [];
  }
}

function nameOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return 'gone';
  }
}
