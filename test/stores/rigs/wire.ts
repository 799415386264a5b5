import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { Transform } from 'node:stream';
import type { Cleanup } from '../../support/processes.ts';

/** A way to a server of this machine that can be cut. */
export interface Wire {
  readonly port: number;
  /** Ends all connections at once; new ones are made again. */
  cut(): void;
  /** Where connections go that are made from now on; null: nowhere. */
  lead(toPort: number | null): void;
  /** What a server says is changed so, piece by piece, one character a byte; null: not at all. */
  alter(change: ((text: string) => string) | null): void;
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
  let alter: ((text: string) => string) | null = null;
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
    const back = new Transform({
      transform: (chunk: Buffer, _, done) =>
        done(null, alter === null ? chunk : Buffer.from(alter(chunk.toString('latin1')), 'latin1')),
    });
    near.pipe(far).pipe(back).pipe(near);
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
    alter: (change) => {
      alter = change;
    },
    refused: () => refused,
    carriedBytes: () => bytes,
  };
}
