import { setTimeout as sleep } from 'node:timers/promises';
import type { Store } from './store.ts';

/** What was not used of it is not saved up for longer. */
const burstMs = 100;

interface Rate {
  /** Resolves when so many bytes may pass. */
  take(bytes: number): Promise<void>;
}

const known = new Map<string, Rate>();

/** At most so many bytes a second to the store, and as many from it: of all that this process does with it. */
export function limited(store: Store, bytesPerSecond: number): Store {
  const up = rateOf(`${store.place} up ${bytesPerSecond}`, bytesPerSecond);
  const down = rateOf(`${store.place} down ${bytesPerSecond}`, bytesPerSecond);
  return {
    ...store,
    async create(...what) {
      const part = await store.create(...what);
      return {
        async write(chunk) {
          await up.take(chunk.length);
          await part.write(chunk);
        },
        seal: () => part.seal(),
        discard: () => part.discard(),
      };
    },
    async *read(set, file) {
      for await (const chunk of store.read(set, file)) {
        await down.take(chunk.length);
        yield chunk;
      }
    },
  };
}

function rateOf(name: string, bytesPerSecond: number): Rate {
  const rate = known.get(name) ?? createRate(bytesPerSecond);
  known.set(name, rate);
  return rate;
}

function createRate(bytesPerSecond: number): Rate {
  let freeAtMs = 0;
  return {
    async take(bytes) {
      const now = performance.now();
      freeAtMs = Math.max(freeAtMs, now - burstMs) + (bytes * 1_000) / bytesPerSecond;
      if (freeAtMs > now) await sleep(freeAtMs - now);
    },
  };
}
