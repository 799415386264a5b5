import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Check } from '../../model/progress.ts';
import type { HostName, Service, Site } from '../../model/site.ts';
import { createDriver } from '../services/drivers.ts';
import type { ServiceDriver } from '../services/driver.ts';
import type { ManagerOptions } from '../services/systemctl.ts';

export interface ServiceCheckOptions extends ManagerOptions {
  /** A database's server: killed before it has stopped, its copy is unclean. Absent: a member of a database names it. */
  readonly stateful?: boolean;
  /** The longest of its last nights' stops; absent: none was measured. */
  readonly stoppedMs?: number | undefined;
  /** It gets restored data, and is started on it whatever it was found. */
  readonly startsOnceKept?: boolean;
}

/** Rows for one service on this host; changes nothing. */
export async function checkService(
  site: Site,
  host: HostName,
  name: string,
  options: ServiceCheckOptions = {},
): Promise<readonly Check[]> {
  const service = Object.hasOwn(site.services, name) ? site.services[name] : undefined;
  const row = rows(host, `service ${name}`);
  if (service?.hosts.includes(host) !== true) {
    return [
      row(
        'no-go',
        'the site file here does not have it on this host',
        'bring the same site file to all hosts',
      ),
    ];
  }
  const missing = commandsOf(service).filter((argv) => !isExecutable(argv[0]));
  if (missing.length > 0) {
    return missing.map((argv) =>
      row(
        'no-go',
        `${JSON.stringify(argv)} is not there or not executable`,
        'correct the command in the site file',
      ),
    );
  }
  const driver = createDriver(service, options);
  return [
    await stateRow(service, driver, row, options),
    ...(await triggerRows(driver, row)),
    ...(await stopTimeoutRows(
      service,
      driver,
      { ...options, stateful: options.stateful ?? isMember(site, host, name) },
      row,
    )),
    ...holdRows(service, row),
  ];
}

/** A limit below three times a stop that was measured is one that a slow night reaches. */
const stopsToAllow = 3;

type Row = (verdict: Check['verdict'], detail: string, hint?: string) => Check;

function rows(host: HostName, subject: string): Row {
  return (verdict, detail, hint) => ({
    host,
    subject,
    verdict,
    detail,
    ...(hint === undefined ? {} : { hint }),
  });
}

async function stateRow(
  service: Service,
  driver: ServiceDriver,
  row: Row,
  { startsOnceKept = false }: ServiceCheckOptions,
): Promise<Check> {
  const { state, detail, dragged, triggers } = await driver.observe();
  const others = dragged.filter((unit) => !triggers.includes(unit));
  const along = others.length === 0 ? '' : `; a stop takes along ${others.join(', ')}`;
  if (state === 'running') {
    return service.normally === 'running'
      ? row('go', `running: ${detail}${along}`)
      : row(
          'warning',
          `running, although normally stopped: ${detail}${along}`,
          'it will be stopped, and started again',
        );
  }
  if (state === 'stopped' || state === 'failed') {
    if (startsOnceKept) return row('go', `found ${state}: it will be started once its data is restored`);
    return service.normally === 'stopped' && state === 'stopped'
      ? row('go', `stopped, as it normally is: ${detail}`)
      : row(
          'warning',
          `found ${state}, although normally ${service.normally}: ${detail}; it will be left as it is`,
          'start it before the run if it should be up in the morning',
        );
  }
  return row(
    'no-go',
    `${state}: ${detail}`,
    'wait until it runs or is stopped, or correct its entry in the site file',
  );
}

async function triggerRows(driver: ServiceDriver, row: Row): Promise<readonly Check[]> {
  const triggers = await driver.startedBy();
  if (triggers.length === 0) return [];
  return [row('go', `could be started by ${triggers.join(', ')}: held down with it`)];
}

async function stopTimeoutRows(
  { stopWithinMs }: Service,
  driver: ServiceDriver,
  { stateful = false, stoppedMs = 0 }: Pick<ServiceCheckOptions, 'stateful' | 'stoppedMs'>,
  row: Row,
): Promise<readonly Check[]> {
  const timeoutMs = await driver.stopTimeoutMs();
  const limitMs = Math.min(stopWithinMs, timeoutMs ?? Infinity);
  const neededMs = stopsToAllow * stoppedMs;
  const [verdict, unclean] = stateful
    ? (['no-go', ': a copy would be unclean'] as const)
    : (['warning', ''] as const);
  const rows: Check[] = [];
  if (timeoutMs !== null && timeoutMs < stopWithinMs)
    rows.push(
      row(
        verdict,
        `systemd kills it ${timeoutMs / 1_000} s after the stop, before stop-within (${stopWithinMs / 1_000} s) is over${unclean}`,
        `raise TimeoutStopSec of the unit to ${Math.ceil(stopWithinMs / 1_000)} s or more`,
      ),
    );
  if (limitMs < neededMs)
    rows.push(
      row(
        verdict,
        `its stop took ${(stoppedMs / 1_000).toFixed(1)} s in one of the last nights, and it has ${limitMs / 1_000} s, less than three times that${unclean}`,
        `raise stop-within, and the stop timeout of its service manager, to ${Math.ceil(neededMs / 1_000)} s or more`,
      ),
    );
  return rows;
}

function holdRows({ driver }: Service, row: Row): readonly Check[] {
  if (driver.kind !== 'command' || (driver.holdDown !== undefined && driver.letGo !== undefined)) return [];
  return [
    row(
      'warning',
      'nothing prevents a start by others while it must be down',
      'give the service hold-down and let-go commands',
    ),
  ];
}

function isMember(site: Site, host: HostName, name: string): boolean {
  return Object.values(site.databases).some(
    ({ engine }) =>
      engine.kind === 'mongodb' &&
      Object.values(engine.members).some((member) => member.host === host && member.service === name),
  );
}

function commandsOf({ driver, ready }: Service): readonly (readonly [string, ...string[]])[] {
  const ofDriver =
    driver.kind === 'command'
      ? [
          driver.start,
          driver.stop,
          driver.status,
          driver.instance,
          driver.lastExit,
          driver.holdDown,
          driver.letGo,
        ]
      : [];
  return [...ofDriver, ready?.kind === 'command' ? ready.command : undefined].filter(
    (argv) => argv !== undefined,
  );
}

function isExecutable(program: string): boolean {
  const files = program.includes('/')
    ? [program]
    : (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, program));
  return files.some((file) => {
    try {
      accessSync(file, constants.X_OK);
      return statSync(file).isFile();
    } catch {
      return false;
    }
  });
}
