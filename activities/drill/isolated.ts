import { ApplicationFailure } from '@temporalio/common';
import { runCommand } from '../system/command.ts';
import type { HostName } from '../../model/site.ts';

const refusedType = 'DrillRefused';

export function isRefusedDrill(error: unknown): boolean {
  return error instanceof ApplicationFailure && error.type === refusedType;
}

/** A drill that cannot be carried out says nothing about the set. */
export function refusedDrill(message: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(message, refusedType);
}

/**
 * Starts a server where it reaches nobody: in a network namespace of its own, in which even the loopback is down. It dies
 * with the agent, however that ends.
 */
export function isolated(
  argv: readonly string[],
  /** Whose files it opens: what it writes belongs to them too. Absent: the agent's own user. */
  owner?: { readonly uid: number; readonly gid: number },
): readonly string[] {
  const asRoot = process.getuid?.() === 0;
  const as =
    asRoot && owner !== undefined
      ? // A new user clears the signal.
        [
          ...['setpriv', '--reuid', String(owner.uid), '--regid', String(owner.gid), '--clear-groups'],
          ...['--pdeathsig', 'KILL', '--'],
        ]
      : [];
  return [
    ...['setpriv', '--pdeathsig', 'KILL', 'unshare', '--net'],
    ...(asRoot ? [] : ['--user', '--map-root-user']),
    ...['--', ...as, ...argv],
  ];
}

/** Of a mongod, asked in its isolation; throws where either is not to be had. */
export async function serverVersion(
  mongod: readonly string[],
  host: HostName,
  signal: AbortSignal,
): Promise<string> {
  const argv = isolated([...mongod, '--version']);
  const { stdout } = await runCommand(argv, { signal, timeoutMs: 60_000 }).catch((error: unknown) => {
    signal.throwIfAborted();
    throw refusedDrill(
      `No scratch server can be started on ${host}: ${error instanceof Error ? error.message : String(error)} ` +
        'It needs mongod, and setpriv, unshare, prlimit and choom of util-linux with the right to make network namespaces (root).',
    );
  });
  const version = /v(\d+\.\d+\.\d+\S*)/.exec(stdout)?.[1];
  if (version === undefined)
    throw refusedDrill(`${JSON.stringify(argv)} on ${host} prints no version: ${stdout.slice(0, 200)}`);
  return version;
}

/** Files are opened by the version that wrote them: a later one may change what is compared, an earlier one cannot read them. */
export function isSameRelease(one: string, other: string): boolean {
  return releaseOf(one) === releaseOf(other);
}

/** `6.0` of `6.0.27`. */
export function releaseOf(version: string): string {
  return version.split('.').slice(0, 2).join('.');
}
