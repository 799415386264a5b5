import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { freePort } from '../demo/local/ports.ts';

/** What lies between an agent and Temporal, and can be cut. */
export interface Link {
  readonly address: string;
  /** Connections end, new ones are refused. */
  cut(): Promise<void>;
  /** Connections stay, new ones are taken, and nothing gets through. */
  choke(): void;
  mend(): Promise<void>;
  close(): Promise<void>;
}

/** @param on the address that it listens on. */
export async function createLink(target: string, on = '127.0.0.1'): Promise<Link> {
  const [host = '', port = ''] = target.split(':');
  const sockets = new Set<Socket>();
  let choked = false;
  const take = (agent: Socket) => {
    const server = connect(Number(port), host);
    const both = [agent, server] as const;
    for (const [from, to] of [both, [server, agent] as const]) {
      sockets.add(from);
      from.on('error', () => to.destroy()).on('close', () => (sockets.delete(from), to.destroy()));
      from.pipe(to);
      if (choked) from.unpipe(to).pause();
    }
  };
  let listener = createServer(take);
  const own = await freePort();
  const listen = async () => {
    listener.listen(own, on);
    await once(listener, 'listening');
  };
  await listen();
  const endAll = () => sockets.forEach((socket) => socket.destroy());
  const cut = async () => {
    endAll();
    if (!listener.listening) return;
    const closed = once(listener, 'close');
    listener.close();
    await closed;
  };
  return {
    address: `${on}:${own}`,
    cut,
    choke: () => {
      choked = true;
      for (const socket of sockets) socket.unpipe().pause();
    },
    mend: async () => {
      choked = false;
      endAll();
      if (listener.listening) return;
      listener = createServer(take);
      await listen();
    },
    close: cut,
  };
}
