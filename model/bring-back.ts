import type { Plan } from './plan.ts';
import { servicesAmong } from './resource.ts';
import type { HostName } from './site.ts';

/** How long each service took to be up again in the last nights, the longest of them; per host, in ms. */
export type Measured = Readonly<Record<HostName, Readonly<Record<string, number>>>>;

export interface Prediction {
  readonly ms: number;
  /** Without the services that no night has measured yet: it takes at least this. */
  readonly atLeastMs: number;
  readonly measured: number;
  readonly services: number;
}

/** Stated default before a service was ever measured; less where its `ready.within` is less. */
export const unmeasuredMs = 10_000;
/** Takeover, balancer, release; and a host that answers slowly. */
const allowanceMs = 60_000;
/** A start in the morning may be slower than the slowest that was seen. */
const margin = 1.5;

/** One service after the other, as undo does it; its hosts at once. */
export function predictBringBack(
  { holds, timing }: Pick<Plan, 'holds' | 'timing'>,
  measured: Measured,
): Prediction {
  const services = new Set(Object.values(holds).flatMap(servicesAmong));
  const longest = [...services].map((service) => {
    const times = Object.values(measured).flatMap((host) => host[service] ?? []);
    return { service, ms: times.length === 0 ? null : Math.max(...times) };
  });
  const known = longest.flatMap(({ ms }) => ms ?? []);
  const guessed = longest
    .filter(({ ms }) => ms === null)
    .map(({ service }) => Math.min(unmeasuredMs, timing[service]?.readyWithinMs ?? unmeasuredMs));
  return {
    ms: total([...known, ...guessed]),
    atLeastMs: total(known),
    measured: known.length,
    services: services.size,
  };
}

function total(times: readonly number[]): number {
  return Math.round(margin * times.reduce((sum, ms) => sum + ms, 0)) + allowanceMs;
}
