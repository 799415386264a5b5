import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { NativeConnection } from '@temporalio/worker';
import type { Logger } from 'pino';

export interface Server {
  readonly address?: string;
  readonly namespace?: string;
}

/** What TEMPORAL_* and temporal.toml say, and what was given on the command line over it. */
export function serverOptions({ address, namespace }: Server) {
  const config = loadClientConnectConfig();
  return {
    connectionOptions: { ...config.connectionOptions, ...(address !== undefined && { address }) },
    namespace: namespace ?? config.namespace ?? 'default',
  };
}

/** How the Temporal UI names who works: `agent vitam/mongo-1 4711@mongo-1.example.org`. */
export function identityOf(who: string): string {
  return `${who} ${process.pid}@${hostname()}`;
}

/** A worker outlives its server: it keeps trying until it is there, or until `signal`. */
export async function connectPatiently(
  server: Server,
  logger: Logger,
  signal: AbortSignal,
): Promise<NativeConnection> {
  const { connectionOptions } = serverOptions(server);
  for (let pauseMs = 250; ; pauseMs = Math.min(pauseMs * 2, 5_000)) {
    try {
      return await NativeConnection.connect(connectionOptions);
    } catch (error) {
      logger.warn(
        { address: connectionOptions.address, err: error },
        'Temporal does not answer; trying again',
      );
      await sleep(pauseMs, undefined, { signal });
    }
  }
}
