import type { Document, MongoClient } from 'mongodb';

const shownAtMost = 8;

/**
 * Who is connected to this server now, with how many connections: `"orders" from 10.0.0.3 (4)`. Without coldbackup, and
 * without the servers of its own cluster: who comes through a router is seen there alone. Needs `inprog`.
 */
export async function connectedClients(client: MongoClient): Promise<readonly string[]> {
  const open = await client
    .db('admin')
    .aggregate([{ $currentOp: { allUsers: true, idleConnections: true, localOps: true } }])
    .toArray();
  const connections = new Map(open.map((op) => [op['connectionId'] as unknown, nameOf(op)]));
  const counts = new Map<string, number>();
  for (const name of connections.values()) if (name !== null) counts.set(name, (counts.get(name) ?? 0) + 1);
  const names = [...counts].map(([name, count]) => `${name} (${count})`).sort();
  const more = names.length - shownAtMost;
  return more > 0 ? [...names.slice(0, shownAtMost), `and ${more} more`] : names;
}

/** By what it calls itself, or else its driver. null: it is nobody's client. */
function nameOf(op: Document): string | null {
  const { client, clientMetadata, effectiveUsers } = op as {
    readonly client?: string;
    readonly clientMetadata?: {
      readonly driver?: { readonly name?: string };
      readonly application?: { readonly name?: string };
    };
    readonly effectiveUsers?: readonly { readonly user: string }[];
  };
  const name = clientMetadata?.application?.name ?? clientMetadata?.driver?.name ?? '';
  // As 6.0 and 7.0 were seen to call themselves; where there are keys they log in as __system.
  const isServer =
    /^(NetworkInterfaceTL|MongoDB Internal Client)/.test(name) ||
    effectiveUsers?.some(({ user }) => user === '__system') === true;
  if (client === undefined || isServer || name === 'coldbackup') return null;
  const from = client.slice(0, client.lastIndexOf(':'));
  return name === '' ? from : `"${name}" from ${from}`;
}
