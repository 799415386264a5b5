import { faults } from './faults.ts';
import type { Cell } from './matrix.ts';
import type { Position } from './positions.ts';
import { hosts } from './site.ts';

/** About how long a night takes that nothing happens to. */
const nightMs = 14_000;

/** A random fault at a random instant; the same seed gives the same cell. */
export function randomCell(seed: number): Cell {
  const random = randomOf(seed);
  // Those that are about one step only have their place in the matrix.
  const anywhere = faults.filter((one) => one.notAt === undefined && one.site === undefined);
  const fault = pick(anywhere, random);
  return {
    fault,
    position: instant(seed, { atMs: Math.round(random() * nightMs), host: pick(hosts, random) }),
  };
}

function instant(seed: number, { atMs, host }: { atMs: number; host: Position['host'] }): Position {
  let beganMs: number | null = null;
  return {
    name: `seed ${seed}: ${atMs} ms after the start, ${host}`,
    host,
    reached: () => Date.now() - (beganMs ??= Date.now()) >= atMs,
    passed: () => false,
  };
}

function pick<T>(choices: readonly T[], random: () => number): T {
  const choice = choices[Math.floor(random() * choices.length)];
  if (choice === undefined) throw new Error('nothing to choose from');
  return choice;
}

/** mulberry32 */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
