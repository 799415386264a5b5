import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import type { Cleanup } from '../../support/processes.ts';

/** A way to a server of this machine that can be cut. */
export interface Wire {
  readonly port: number;
  /** Ends all connections at once; new ones are made again. */
  cut(): void;
  /** Where connections go that are made from now on; null: nowhere. */
  lead(toPort: number | null): void;
  /** Connections that went nowhere. */
  refused(): number;
  /** Towards the server, of all connections. */
  carriedBytes(): number;
}

export async function startWire(cleanup: Cleanup, toPort: number): Promise<Wire> {
  const sockets = new Set<Socket>();
  let leadsTo: number | null = toPort;
  let bytes = 0;
  let refused = 0;
  const server = createServer((near) => {
    if (leadsTo === null) {
      refused += 1;
      near.on('error', () => undefined);
      near.resetAndDestroy();
      return;
    }
    const far = connect(leadsTo, '127.0.0.1');
    near.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    near.pipe(far).pipe(near);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = (): void => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  cleanup.add(() => {
    cut();
    server.close();
  });
  return {
    port: (server.address() as AddressInfo).port,
    cut,
    lead: (to) => {
      leadsTo = to;
    },
    refused: () => refused,
    carriedBytes: () => bytes,
  };
}
