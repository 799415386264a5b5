import { constants } from 'node:fs';
import { access, lstat, readlink, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Stats } from 'node:fs';
import type { HostName, SecretRef, Site } from '../model/site.ts';

/** Thrown when somebody other than root or the current user decides what a file says, or a secret cannot be read. */
export class FileSafetyError extends Error {
  override readonly name = 'FileSafetyError';
}

/**
 * An agent does what its site file names, as root: whoever can write the file, or swap a folder above it, would be root.
 * Everything on the way is looked at, symbolic links too: the owner is root or the current user, and nobody else may write
 * (a sticky folder such as /tmp may be written by others: they cannot replace what is not theirs).
 * @throws FileSafetyError naming the path, its owner and mode, and the command that repairs it.
 */
export async function assertTrustworthy(file: string): Promise<void> {
  const unsafe = await firstUnsafe(path.resolve(file), 0);
  if (unsafe !== null) throw new FileSafetyError(`refusing site file ${file}: ${unsafe}`);
}

/**
 * The secrets that this host resolves are there.
 * @throws FileSafetyError naming every reference that is not, and never a value.
 */
export async function assertSecretsReadable(
  site: Site,
  host: HostName,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<void> {
  const checked = await Promise.all(
    secretsOn(site, host).map(async ({ key, ref }) => {
      const problem = await secretProblem(ref, environment);
      return problem === null ? [] : [`${key}: ${problem}`];
    }),
  );
  const problems = checked.flat();
  if (problems.length > 0)
    throw new FileSafetyError(`secrets that host ${host} needs cannot be read:\n${problems.join('\n')}`);
}

const MOST_LINKS = 40;

async function firstUnsafe(file: string, links: number): Promise<string | null> {
  if (links > MOST_LINKS) return `${file} has too many symbolic links`;
  for (const place of wayTo(file)) {
    const stats = await lstat(place);
    const problem = isOthers(stats, place);
    if (problem !== null) return problem;
    if (!stats.isSymbolicLink()) continue;
    const target = path.resolve(path.dirname(place), await readlink(place));
    return firstUnsafe(path.join(target, path.relative(place, file)), links + 1);
  }
  return null;
}

/** `/`, `/etc`, `/etc/coldbackup`, `/etc/coldbackup/site.yaml` */
function wayTo(file: string): readonly string[] {
  const parts = file.split(path.sep).filter((part) => part !== '');
  return ['/', ...parts.map((_, index) => `/${parts.slice(0, index + 1).join('/')}`)];
}

const WRITABLE_BY_OTHERS = 0o022;
const STICKY = 0o1000;

function isOthers(stats: Stats, place: string): string | null {
  const mode = (stats.mode & 0o7777).toString(8).padStart(4, '0');
  const me = process.getuid?.() ?? 0;
  if (stats.uid !== 0 && stats.uid !== me)
    return `${place} belongs to user ${stats.uid}, neither root nor the current user (${me}): chown root ${place}`;
  const mayWrite = (stats.mode & WRITABLE_BY_OTHERS) !== 0 && !stats.isSymbolicLink();
  if (!mayWrite || (stats.isDirectory() && (stats.mode & STICKY) !== 0)) return null;
  return `others may write ${place} (mode ${mode}): chmod go-w ${place}`;
}

interface NamedSecret {
  readonly key: string;
  readonly ref: SecretRef;
}

function secretsOn(site: Site, host: HostName): readonly NamedSecret[] {
  return Object.entries(site.databases).flatMap(([database, { engine }]): readonly NamedSecret[] => {
    if (engine.kind !== 'mongodb') return [];
    const key = `databases.${database}.mongodb`;
    const members = Object.entries(engine.members)
      .filter(([, member]) => member.host === host)
      .map(([name, { uri }]) => ({ key: `${key}.members["${name}"].uri`, ref: uri }));
    return engine.mongos?.host === host
      ? [{ key: `${key}.mongos.uri`, ref: engine.mongos.uri }, ...members]
      : members;
  });
}

async function secretProblem(
  ref: SecretRef,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<string | null> {
  if ('env' in ref)
    return (environment[ref.env] ?? '') === '' ? `environment variable ${ref.env} is not set` : null;
  try {
    await access(ref.file, constants.R_OK);
  } catch (error) {
    return `file ${ref.file}: ${error instanceof Error ? error.message : String(error)}`;
  }
  if ((await stat(ref.file)).isDirectory()) return `${ref.file} is a directory, not a file`;
  return null;
}
