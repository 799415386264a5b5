import { once } from 'node:events';
import { createServer } from 'node:net';

// Below the range from which the kernel takes ports for outgoing connections, or a server that starts slowly would
// find its port taken. Each process begins at a place of its own, so that two that look at once do not meet.
const first = 20_000;
const last = 31_999;
const perProcess = 64;
let next = first + ((process.pid * perProcess) % (last - first + 1));

/** A port of 127.0.0.1 that nobody listens on, and that this process has not given before. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries <= last - first; tries += 1) {
    const port = next;
    next = next === last ? first : next + 1;
    if (await isFree(port)) return port;
  }
  throw new Error(`no port of ${first} to ${last} is free`);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch {
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}
