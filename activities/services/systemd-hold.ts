import { mkdir, readFile, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Manager } from './systemctl.ts';

/**
 * Start prevention that lives in the runtime units: a reboot clears it. A required unit that does not exist refuses
 * every start before any job is made (by hand, timer, socket or dependency), and systemctl prints its name, so the
 * name says what to do. The assertion refuses `--job-mode=ignore-dependencies` too.
 */
const refusal = 'held-down-by-coldbackup:to-lift-it-run:coldbackup-recover.service';

export async function holdUnit(manager: Manager, unit: string, by: string): Promise<void> {
  const wrote = [
    await writeUnit(dropIn(manager, unit), holdText(by)),
    await writeUnit(pin(manager, unit), pinText(unit, by)),
  ];
  if (wrote.includes(true) || !(await isLoaded(manager, unit))) await reload(manager);
  await manager.run(['start', pinName(unit)], { timeoutMs: systemctlTimeoutMs });
}

/** Kept beside the hold: a unit that was found stopped has its socket or timer back, too, when it is let go. */
export async function rememberTriggers(
  manager: Manager,
  unit: string,
  triggers: readonly string[],
): Promise<void> {
  if (!(await isHeld(manager, unit))) return;
  const all = new Set([...(await rememberedTriggers(manager, unit)), ...triggers]);
  if (all.size > 0) await writeUnit(triggerFile(manager, unit), `${[...all].join('\n')}\n`);
}

export async function releaseUnit(manager: Manager, unit: string): Promise<void> {
  const removed = [await remove(dropIn(manager, unit)), await remove(pin(manager, unit))];
  await rmdir(dirname(dropIn(manager, unit))).catch(() => undefined);
  if (removed.includes(true) || (await isLoaded(manager, unit))) {
    await manager.run(['stop', pinName(unit)], { timeoutMs: systemctlTimeoutMs, acceptExit: [0, 5] });
    await reload(manager);
  }
  await startTriggers(manager, await rememberedTriggers(manager, unit));
  await remove(triggerFile(manager, unit));
}

export async function isHeld(manager: Manager, unit: string): Promise<boolean> {
  return (await readIfThere(dropIn(manager, unit))) !== null;
}

const systemctlTimeoutMs = 60_000;
const anyExit = Array.from({ length: 256 }, (_, code) => code);

function dropIn(manager: Manager, unit: string): string {
  return join(manager.runtimeUnits, `${unit}.d`, '50-coldbackup.conf');
}

function triggerFile(manager: Manager, unit: string): string {
  return join(manager.runtimeUnits, `${pinName(unit)}.triggers`);
}

async function rememberedTriggers(manager: Manager, unit: string): Promise<readonly string[]> {
  return ((await readIfThere(triggerFile(manager, unit))) ?? '').split('\n').filter((line) => line !== '');
}

/** One that will not start must not keep the service itself down: the start of what was dragged along tells it. */
async function startTriggers(manager: Manager, triggers: readonly string[]): Promise<void> {
  // A socket refuses to start once its service runs, so sockets go before what may start it.
  const sockets = triggers.filter((trigger) => trigger.endsWith('.socket'));
  for (const units of [sockets, triggers.filter((trigger) => !sockets.includes(trigger))]) {
    if (units.length === 0) continue;
    await manager.run(['start', '--', ...units], { timeoutMs: systemctlTimeoutMs, acceptExit: anyExit });
  }
}

function pin(manager: Manager, unit: string): string {
  return join(manager.runtimeUnits, pinName(unit));
}

/**
 * systemd forgets a unit that is inactive and that nothing refers to, with its InvocationID and exit status. This
 * active target refers to it, so that the evidence stays; it also shows in `systemctl list-units 'coldbackup*'`.
 */
function pinName(unit: string): string {
  return `coldbackup-holds-${unit}.target`;
}

function holdText(by: string): string {
  return [
    `# Written by coldbackup, for ${oneLine(by)}: this unit is held down while a backup needs it at rest.`,
    '# To lift it: coldbackup recover   (by hand: remove this file, then systemctl daemon-reload)',
    '[Unit]',
    `Requires=${refusal}`,
    'AssertPathExists=!/',
    '',
  ].join('\n');
}

function pinText(unit: string, by: string): string {
  return [
    '[Unit]',
    `Description=coldbackup holds ${unit} down for ${oneLine(by)} - to lift it, run: coldbackup recover`,
    'DefaultDependencies=no',
    `After=${unit}`,
    '',
  ].join('\n');
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').replaceAll('%', '%%').replaceAll('\\', '/');
}

async function isLoaded(manager: Manager, unit: string): Promise<boolean> {
  const [properties] = await manager.show([unit], ['DropInPaths']);
  return (properties?.['DropInPaths'] ?? '').split(' ').includes(dropIn(manager, unit));
}

async function reload(manager: Manager): Promise<void> {
  await manager.run(['daemon-reload'], { timeoutMs: systemctlTimeoutMs });
}

async function writeUnit(file: string, text: string): Promise<boolean> {
  if ((await readIfThere(file)) === text) return false;
  await mkdir(dirname(file), { recursive: true });
  const temporary = `${file}.tmp`;
  await writeFile(temporary, text, { mode: 0o644 });
  await rename(temporary, file);
  return true;
}

async function remove(file: string): Promise<boolean> {
  const there = (await readIfThere(file)) !== null;
  await rm(file, { force: true });
  return there;
}

async function readIfThere(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
