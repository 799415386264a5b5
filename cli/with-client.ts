import type { ColdbackupClient } from '../client/client.ts';

/** Options of every command that asks Temporal. */
export interface ServerOptions {
  readonly address?: string;
  readonly namespace?: string;
}

/** The client is loaded only by the commands that need it. */
export async function withClient<T>(
  { address, namespace }: ServerOptions,
  work: (client: ColdbackupClient) => Promise<T>,
): Promise<T> {
  const { ColdbackupClient: Client } = await import('../client/client.ts');
  const client = await Client.connect({
    ...(address !== undefined && { address }),
    ...(namespace !== undefined && { namespace }),
  });
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}
