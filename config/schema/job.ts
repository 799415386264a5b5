import type { Job } from '../../model/site.ts';
import { systemd } from './drivers/systemd.ts';
import { strict } from './expect.ts';
import { oneKeyOf, pickOne } from './one-key-of.ts';
import { reference } from './reference.ts';
import type { Known } from './reference.ts';
import { argv } from './scalars.ts';

export function jobSchema(known: Known) {
  return oneKeyOf(
    strict({
      host: reference('host', known).describe('The host that it runs on.'),
      systemd: systemd
        .exactOptional()
        .describe('The systemd unit that does the work and ends, or { unit, manager: user }.'),
      command: argv
        .exactOptional()
        .describe(
          'Prints one JSON object: { "began": instant|null, "ended": instant|null, "ok": boolean|null }.',
        ),
    }),
    ['systemd', 'command'],
  ).transform((raw): Job => ({
    host: raw.host,
    source: pickOne<typeof raw, Job['source']>(raw, {
      systemd: (unit) => unit,
      command: (status) => ({ kind: 'command', status }),
    }),
  }));
}
