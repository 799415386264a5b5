import type { StopStep } from '../../../model/site.ts';
import { list } from '../expect.ts';
import { reference } from '../reference.ts';
import type { Known } from '../reference.ts';

export function stopSchema(known: Known) {
  return list(reference('service', known), 'services');
}

export function toStop(services: readonly string[]): StopStep {
  return { kind: 'stop', services };
}
